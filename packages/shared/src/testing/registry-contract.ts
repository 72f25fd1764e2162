import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { SchemaRegistry } from '../schema/port.ts'
import { createSchemaRegistry } from '../schema/registry.ts'

const record = (...fields: readonly object[]): string => JSON.stringify({ type: 'record', name: 'R', fields })
const a = { name: 'a', type: 'long' }
const required = { name: 'b', type: 'string' }
const optional = { name: 'b', type: 'string', default: '' }

/** What a schema registry must do for the mesh; run against the double and against a real one. */
export function describeSchemaRegistry(name: string, url: () => string): void {
  describe(`the schema registry on ${name}`, () => {
    const open = (): SchemaRegistry => createSchemaRegistry({ url: url() })
    const freshSubject = (): string => `test-${randomUUID()}-value`

    it('gives one id to one text, in every subject', async () => {
      const [registry, subject] = [open(), freshSubject()]
      const id = await registry.register(subject, record(a))
      expect(await registry.register(subject, record(a))).toBe(id)
      expect(await registry.register(freshSubject(), record(a))).toBe(id)
      expect(await open().register(subject, record(a))).toBe(id)
    })

    it('gives the text back by its id', async () => {
      const registry = open()
      const id = await registry.register(freshSubject(), record(a, optional))
      expect(JSON.parse(await registry.schemaById(id))).toEqual(JSON.parse(record(a, optional)))
      expect(JSON.parse(await open().schemaById(id))).toEqual(JSON.parse(record(a, optional)))
    })

    it('takes a compatible change and refuses another, naming the field', async () => {
      const [registry, subject] = [open(), freshSubject()]
      const first = await registry.register(subject, record(a))
      await expect(registry.register(subject, record(a, required))).rejects.toMatchObject({
        code: 'MESH_SCHEMA_INCOMPATIBLE',
        message: expect.stringContaining('field b is added without a default'),
      })
      expect(await registry.register(subject, record(a, optional))).not.toBe(first)
    })

    it('holds a change against every version, not only the last', async () => {
      const [registry, subject] = [open(), freshSubject()]
      // Version 2 drops b; version 3 brings b back as another type with a default: fine for 2, not for 1.
      await registry.register(subject, record(a, required))
      await registry.register(subject, record(a))
      const returned = record(a, { name: 'b', type: 'long', default: 0 })
      expect(await registry.checkCompatible(subject, returned)).toEqual({
        compatible: false,
        reasons: [
          'version 1: field b changes its type from string to long: add a field of another name and keep this one',
        ],
      })
      await expect(registry.register(subject, returned)).rejects.toMatchObject({ code: 'MESH_SCHEMA_INCOMPATIBLE' })
    })

    it('checks without registering anything', async () => {
      const [registry, subject] = [open(), freshSubject()]
      expect(await registry.checkCompatible(subject, record(a))).toEqual({ compatible: true, reasons: [] })
      await registry.register(subject, record(a))
      expect((await registry.checkCompatible(subject, record(a, required))).compatible).toBe(false)
      expect(await registry.checkCompatible(subject, record(a, optional))).toEqual({ compatible: true, reasons: [] })
      await registry.register(subject, record(a, { ...optional, type: 'long', default: 1 }))
    })

    it('does not know an id that was never given', async () => {
      await expect(open().schemaById(2_000_000_000)).rejects.toMatchObject({ code: 'MESH_SCHEMA_UNKNOWN' })
    })

    it('refuses a text that is no schema before it asks', async () => {
      await expect(open().register(freshSubject(), '{"type":"nothing"}')).rejects.toMatchObject({
        code: 'MESH_CONTRACT_SCHEMA',
      })
    })
  })
}
