/**
 * A job's id: its time in base 36, then random digits. Sorts by time until 2059, and fits into a topic's name.
 * `random` needs at least 4 bytes.
 */
export function newJobId(epochMs: number, random: Uint8Array): string {
  const tail = Array.from(random.subarray(0, 4), (byte) => (byte % 36).toString(36)).join('')
  return `${Math.trunc(epochMs).toString(36).padStart(8, '0')}${tail}`
}
