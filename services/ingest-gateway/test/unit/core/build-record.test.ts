import { describe, expect, test } from 'vitest'
import { buildRecord, type RecordContext } from '../../../src/core/build-record.ts'
import { NO_ATTRIBUTES } from '../../../src/core/event-attributes.ts'
import { contractOf } from '../../support/gateway.ts'

const context = (changes: Partial<RecordContext> = {}): RecordContext => ({
  contract: contractOf('s'),
  partitions: 12,
  check: null,
  attributes: NO_ATTRIBUTES,
  idFor: (index) => `id-${index}`,
  kept: [],
  receivedAt: 0,
  ...changes,
})
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('building a raw record', () => {
  test('a keyless stream is keyed by the event id', () => {
    const { eventId, record } = buildRecord(3, bytes('{}'), context())
    expect(eventId).toBe('id-3')
    expect(record.key).toEqual(bytes('id-3'))
  })

  test("a number's key is its source characters", () => {
    const contract = contractOf('s', { key: ['/k'] })
    for (const source of ['1.0', '12345678901234567890', '-0']) {
      const { record } = buildRecord(0, bytes(`{"k": ${source}}`), context({ contract }))
      expect(record.key).toEqual(bytes(source))
    }
  })

  test('of several pointers the first that is not null is the key, and the event id the last resort', () => {
    const contract = contractOf('s', { key: ['/a', '/b'] })
    const keyOf = (text: string): Uint8Array | null => buildRecord(0, bytes(text), context({ contract })).record.key
    expect(keyOf('{"a":null,"b":"x"}')).toEqual(bytes('x'))
    expect(keyOf('{}')).toEqual(bytes('id-0'))
  })

  // Hashes of org.apache.kafka.common.utils.UtilsTest#testMurmur2; the partition is toPositive(hash) % partitions.
  test.for([
    ['21', -973_932_308],
    ['foobar', -790_332_482],
    ['a-little-bit-long-string', -985_981_536],
    ['a-little-bit-longer-string', -1_486_304_829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58_897_971],
  ] as const)('key %s goes where Java sends it', ([key, murmur2]) => {
    const contract = contractOf('s', { key: [''] })
    const { record } = buildRecord(0, bytes(JSON.stringify(key)), context({ contract }))
    expect(record.partition).toBe((murmur2 & 0x7fffffff) % 12)
  })

  test('duplicate names in the event do not matter to its bytes, and the last one is the key', () => {
    const contract = contractOf('s', { key: ['/k'] })
    const source = bytes('{"k":"first","k":"last"}')
    const { record } = buildRecord(0, source, context({ contract }))
    expect(record.value).toBe(source)
    expect(record.key).toEqual(bytes('last'))
  })
})
