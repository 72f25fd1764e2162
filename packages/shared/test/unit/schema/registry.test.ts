import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createSchemaRegistry } from '../../../src/schema/registry.ts'
import { describeSchemaRegistry } from '../../../src/testing/registry-contract.ts'
import type { RegistryDouble } from '../../../src/testing/registry-double.ts'
import { startRegistryDouble } from '../../../src/testing/registry-double.ts'

const SCHEMA = JSON.stringify({ type: 'record', name: 'R', fields: [{ name: 'a', type: 'long' }] })

let double: RegistryDouble
beforeAll(async () => {
  double = await startRegistryDouble()
})
beforeEach(() => double.setDown(false))
afterAll(() => double.stop())

describeSchemaRegistry('the double', () => double.url)

describe('the schema registry client', () => {
  it('sets BACKWARD_TRANSITIVE on the subject before it registers', async () => {
    const before = double.requests.length
    await createSchemaRegistry({ url: double.url }).register('order-value', SCHEMA)
    const requests = double.requests.slice(before)
    expect(requests[0]).toBe('PUT /config/order-value')
    expect(requests.indexOf('POST /subjects/order-value/versions')).toBeGreaterThan(0)
  })

  it('asks for an id once, also when asked at the same time', async () => {
    const registry = createSchemaRegistry({ url: double.url })
    const id = await registry.register('once-value', SCHEMA)
    const before = double.requests.length
    await Promise.all([registry.schemaById(id), registry.schemaById(id)])
    await registry.schemaById(id)
    expect(double.requests.slice(before)).toEqual([`GET /schemas/ids/${id}`])
  })

  it('is unavailable while the registry is down, and works again when it is back', async () => {
    const registry = createSchemaRegistry({ url: double.url, retries: 0 })
    const id = await registry.register('down-value', SCHEMA)
    double.setDown(true)
    const unavailable = { code: 'MESH_REGISTRY_UNAVAILABLE' }
    await expect(registry.schemaById(id)).rejects.toMatchObject(unavailable)
    await expect(registry.register('down-value', SCHEMA)).rejects.toMatchObject(unavailable)
    await expect(registry.checkCompatible('down-value', SCHEMA)).rejects.toMatchObject(unavailable)
    double.setDown(false)
    expect(await registry.schemaById(id)).toBe(SCHEMA)
  })

  it('sends a request again that gets no answer', async () => {
    const registry = createSchemaRegistry({ url: double.url, answerMs: 100, retries: 1 })
    double.ignoreNext(1)
    const id = await registry.register('silent-value', SCHEMA)
    expect(await registry.schemaById(id)).toBe(SCHEMA)
    double.ignoreNext(2)
    await expect(registry.checkCompatible('silent-value', SCHEMA)).rejects.toMatchObject({
      code: 'MESH_REGISTRY_UNAVAILABLE',
    })
  })

  it('is unavailable where nothing listens', async () => {
    const gone = await startRegistryDouble()
    await gone.stop()
    const registry = createSchemaRegistry({ url: gone.url, retries: 0 })
    await expect(registry.schemaById(1)).rejects.toMatchObject({ code: 'MESH_REGISTRY_UNAVAILABLE' })
  })
})
