import type { LookupRule } from '@mesh/shared/core/contract'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createHttpLookups, type HttpLookups } from '../../../src/adapters/http-lookups.ts'
import { createMemoryBudget, type MemoryBudget } from '../../../src/core/memory-budget.ts'
import { inGroupsOf, json, type LookupServer, lookupRule, startLookupServer } from '../../lookup-server.ts'

let server: LookupServer
let lookups: HttpLookups
let budget: MemoryBudget
let clock: number
beforeEach(async () => {
  server = await startLookupServer()
  budget = createMemoryBudget(1_000_000)
  clock = Date.UTC(2026, 0, 1)
  lookups = createHttpLookups({
    budget,
    readSecret: async (reference) => (reference === 'env:TOKEN' ? 'secret-1' : null),
    now: () => clock,
  })
})
afterEach(async () => {
  await lookups.close()
  await server.close()
})

const rule = (changes: Partial<LookupRule> = {}): LookupRule => lookupRule(server.url, changes)
const look = async (path: string, of: LookupRule = rule()) => lookups.look(of, `${server.url}${path}`)
const status = (code: number) => {
  server.answer = (_path, _request, response) => {
    response.writeHead(code)
    response.end('{}')
  }
}

describe('HTTP lookups', () => {
  test('an answer is a frozen object with its version: the ETag, or a hash of the body, and the time', async () => {
    server.answer = (path, _request, response) =>
      json(response, { path, nested: { n: 1 } }, path === '/a' ? { etag: 'W/"1,2"' } : {})
    const [tagged, hashed] = [await look('/a'), await look('/b')]
    expect(tagged).toEqual({
      kind: 'found',
      value: { path: '/a', nested: { n: 1 } },
      version: 'etag:W%2F%221%2C2%22@2026-01-01T00:00:00.000Z',
    })
    expect(hashed).toMatchObject({ version: expect.stringMatching(/^sha256:[0-9a-f]{16}@2026/) as string })
    if (tagged.kind !== 'found') throw new Error('not found')
    expect(() => Object.assign(tagged.value['nested'] as object, { n: 2 })).toThrow(TypeError)
  })

  test.each([
    [404, 'missing'],
    [410, 'missing'],
    [500, 'transient'],
    [503, 'transient'],
    [429, 'transient'],
    [401, 'transient'],
    [400, 'refused'],
    [204, 'refused'],
  ])('status %i is %s', async (code, kind) => {
    status(code)
    expect((await look('/a')).kind).toBe(kind)
  })

  test.each([['[1]'], ['1'], ['not json']])('a body of %s is refused', async (body) => {
    server.answer = (_path, _request, response) => void response.end(body)
    expect(await look('/a')).toMatchObject({ kind: 'refused', code: 'MESH_LOOKUP_REFUSED' })
  })

  test('no answer in time, and a connection that breaks, may pass', async () => {
    server.answer = () => {}
    expect(await look('/a', rule({ timeoutMs: 50 }))).toMatchObject({ kind: 'transient' })
    server.answer = (_path, request) => void request.socket.destroy()
    expect(await look('/b')).toMatchObject({ kind: 'transient', code: 'MESH_LOOKUP_FAILED' })
  })

  test('a private address is refused unless the contract allows it, and so is a redirect to one', async () => {
    expect(await look('/a', rule({ allow: [] }))).toMatchObject({ kind: 'refused', code: 'MESH_HTTP_TARGET_REFUSED' })
    expect(server.asked).toEqual([])
    server.answer = (_path, _request, response) => {
      response.writeHead(302, { location: 'http://169.254.169.254/latest' })
      response.end()
    }
    expect(await look('/b')).toMatchObject({ kind: 'refused', code: 'MESH_HTTP_TARGET_REFUSED' })
  })

  test('an answer is used again until its time is up; who asks at the same time shares one request', async () => {
    await Promise.all([look('/a'), look('/a'), look('/a')])
    expect(lookups.look(rule(), `${server.url}/a`)).not.toBeInstanceOf(Promise)
    clock += 59_999
    await look('/a')
    expect(server.asked).toEqual(['/a'])
    clock += 1
    await look('/a')
    await look('/c', rule({ cacheMs: 0 }))
    await look('/c', rule({ cacheMs: 0 }))
    expect(server.asked).toEqual(['/a', '/a', '/c', '/c'])
  })

  test('only so many requests run at a time, and the cache stays within its bytes', async () => {
    budget = createMemoryBudget(10_000)
    await lookups.close()
    lookups = createHttpLookups({ budget, readSecret: async () => null, now: () => clock })
    server.answer = inGroupsOf(3, (path, _request, response) => json(response, { path, text: 'x'.repeat(300) }))
    await Promise.all(Array.from({ length: 60 }, (_, n) => look(`/${n}`)))
    expect(server.most()).toBe(3)
    expect(budget.used()).toBeLessThanOrEqual(10_000)
    expect(budget.used()).toBeGreaterThan(5000)
  })

  test('a header may be a secret; one that is not set may be set later', async () => {
    let seen: string | undefined
    server.answer = (_path, request, response) => {
      seen = request.headers['authorization']
      json(response, {})
    }
    await look('/a', rule({ headers: { Authorization: 'env:TOKEN' } }))
    expect(seen).toBe('secret-1')
    expect(await look('/b', rule({ headers: { Authorization: 'env:OTHER' } }))).toMatchObject({ kind: 'transient' })
  })

  test('a side that fails again and again is left alone for a moment', async () => {
    status(503)
    for (let n = 0; n < 20; n++) expect((await look(`/${n}`)).kind).toBe('transient')
    expect(server.asked).toHaveLength(5)
    server.answer = (path, _request, response) => json(response, { path })
    clock += 1000
    expect((await look('/later')).kind).toBe('found')
    expect((await look('/more')).kind).toBe('found')
  })
})
