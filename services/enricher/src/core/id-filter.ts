import type { IdWords } from './event-id-hash.ts'

/** Says of most ids at once that they are not in a set. Exact in its no; one yes in some hundred is wrong. */
export type IdFilter = {
  mayHold(id: IdWords): boolean
  /** Entries of `stride` words that begin with an id's four. */
  add(entries: Uint32Array, stride: number): void
}

const BITS_PER_ID = 16
/** One block is one cache line, so that a no costs one memory access. */
const BLOCK_WORDS = 16
const PROBES = 7

/** Bytes of a filter for `ids` ids. */
export const filterBytes = (ids: number): number => blocksOf(ids) * BLOCK_WORDS * 4

/** A blocked Bloom filter for up to `capacity` ids; more of them only make its yes less certain. */
export function createIdFilter(capacity: number): IdFilter {
  const blocks = blocksOf(capacity)
  const bits = new Uint32Array(blocks * BLOCK_WORDS)
  return {
    add(entries, stride) {
      for (let at = 0; at < entries.length; at += stride) {
        const block = blockOf(entries[at]!, blocks)
        for (let probe = 0; probe < PROBES; probe++) {
          const bit = probeBit(entries[at + 1]!, entries[at + 2]!, entries[at + 3]!, probe)
          bits[block + (bit >>> 5)]! |= 1 << (bit & 31)
        }
      }
    },
    mayHold(id) {
      const block = blockOf(id[0]!, blocks)
      for (let probe = 0; probe < PROBES; probe++) {
        const bit = probeBit(id[1]!, id[2]!, id[3]!, probe)
        if ((bits[block + (bit >>> 5)]! & (1 << (bit & 31))) === 0) return false
      }
      return true
    },
  }
}

const blocksOf = (ids: number): number => Math.max(1, Math.ceil((ids * BITS_PER_ID) / (BLOCK_WORDS * 32)))

const blockOf = (word: number, blocks: number): number => Math.floor((word / 4_294_967_296) * blocks) * BLOCK_WORDS

/** Nine bits of the hash, other ones for each probe. */
function probeBit(b: number, c: number, d: number, probe: number): number {
  const word = probe < 3 ? b : probe < 6 ? c : d
  return (word >>> ((probe % 3) * 9)) & 511
}
