import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import { murmur2, partitionOf } from '../../../src/core/partitioner.ts'
import { textBytes } from '../../../src/core/record.ts'

// org.apache.kafka.common.utils.UtilsTest#testMurmur2
const JAVA_VECTORS: readonly [string, number][] = [
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
]

describe('murmur2', () => {
  it.each(JAVA_VECTORS)('hashes %s as Java does', (text, hash) => {
    expect(murmur2(textBytes(text))).toBe(hash)
  })
})

describe('partitionOf', () => {
  it('agrees with the default partitioner of kafkajs for keys of every length', () => {
    const { DefaultPartitioner } = createRequire(import.meta.url)('kafkajs').Partitioners
    const partition = DefaultPartitioner()
    for (let n = 0; n < 400; n++) {
      const key = 'kéy-'.repeat(n % 9) + n.toString(36)
      const partitions = 1 + (n % 13)
      const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({ partitionId, leader: 1 }))
      const expected = partition({ topic: 't', partitionMetadata, message: { key: Buffer.from(key), value: null } })
      expect(partitionOf(textBytes(key), partitions)).toBe(expected)
    }
  })
})
