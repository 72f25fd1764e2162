/** A seeded generator (mulberry32): a failing property names its seed and fails again. */
export function seeded(seed: number): { below(n: number): number; chance(p: number): boolean } {
  let a = seed >>> 0
  function next(): number {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  return { below: (n) => Math.floor(next() * n), chance: (p) => next() < p }
}
