/**
 * Java's `Utils.murmur2`, so that the gateway, Connect and every app co-partition.
 * Source: org.apache.kafka.common.utils.Utils#murmur2 and DefaultPartitioner (`toPositive(murmur2(key)) % partitions`).
 */
export function murmur2(bytes: Uint8Array): number {
  const m = 0x5bd1e995
  const length = bytes.length
  let h = 0x9747b28c ^ length
  const words = length >> 2
  for (let i = 0; i < words; i++) {
    const at = i << 2
    let k = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    k = Math.imul(k, m)
    k ^= k >>> 24
    k = Math.imul(k, m)
    h = Math.imul(h, m) ^ k
  }
  const tail = words << 2
  const rest = length & 3
  if (rest === 3) h ^= bytes[tail + 2]! << 16
  if (rest >= 2) h ^= bytes[tail + 1]! << 8
  if (rest >= 1) h = Math.imul(h ^ bytes[tail]!, m)
  h ^= h >>> 13
  h = Math.imul(h, m)
  h ^= h >>> 15
  return h | 0
}

/** The partition of a key among `partitions` (≥ 1). */
export function partitionOf(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions
}
