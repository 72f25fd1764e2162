/**
 * A UUIDv7 (RFC 9562 §5.7): 48 bits of epoch ms, then 74 random bits. Time and random are arguments, so tests are exact.
 * `random` needs at least 10 bytes.
 */
export function uuidV7(epochMs: number, random: Uint8Array): string {
  const time = Math.trunc(epochMs).toString(16).padStart(12, '0')
  const a = 0x7000 | ((random[0]! & 0x0f) << 8) | random[1]!
  const b = 0x8000 | ((random[2]! & 0x3f) << 8) | random[3]!
  let tail = ''
  for (let i = 4; i < 10; i++) tail += random[i]!.toString(16).padStart(2, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-${a.toString(16)}-${b.toString(16)}-${tail}`
}
