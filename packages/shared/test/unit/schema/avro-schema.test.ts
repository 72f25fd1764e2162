import { describe, expect, it } from 'vitest'
import { parseAvsc, parseRecordAvsc } from '../../../src/schema/avro-schema.ts'

const bytes = (rest: object): object => ({ type: 'bytes', logicalType: 'decimal', ...rest })

describe('parseAvsc', () => {
  it.each([
    ['not JSON', 'not valid'],
    ['"strin"', 'strin'],
    ['{"type":"record","name":"R","fields":[{"name":"a","type":"Missing"}]}', 'Missing'],
    ['{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}', 'default'],
    ['{"type":"record","name":"1R","fields":[]}', '1R'],
    ['{"type":"int","logicalType":"timestamp-millis"}', 'timestamp-millis on int: it needs long'],
    [JSON.stringify(bytes({})), 'precision'],
    [JSON.stringify(bytes({ precision: 2, scale: 3 })), 'scale'],
    ['{"type":"fixed","name":"F","size":1,"logicalType":"decimal","precision":3}', 'does not fit 1 bytes'],
    ['{"type":"fixed","name":"F","size":8,"logicalType":"uuid"}', '16 bytes'],
  ])('refuses %s', (text, reason) => {
    expect(() => parseAvsc(text)).toThrow(expect.objectContaining({ code: 'MESH_CONTRACT_SCHEMA' }))
    expect(() => parseAvsc(text)).toThrow(reason)
  })

  it('resolves names by namespace', () => {
    const node = parseRecordAvsc(
      JSON.stringify({
        type: 'record',
        name: 'R',
        namespace: 'a.b',
        fields: [
          { name: 'x', type: { type: 'enum', name: 'E', symbols: ['A'] } },
          { name: 'y', type: 'E' },
          { name: 'z', type: ['null', 'a.b.R'] },
        ],
      }),
    )
    expect(node.name).toBe('a.b.R')
    expect(node.fields[1]!.type).toBe(node.fields[0]!.type)
    expect(node.fields[2]!.type).toMatchObject({ branches: [{ kind: 'null' }, node] })
  })

  it('wants a record at the top of a refined schema', () => {
    expect(() => parseRecordAvsc('"int"')).toThrow('is a int, not a record')
  })
})
