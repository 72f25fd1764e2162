/**
 * How many bytes a block unpacks to, read off its compressed form: neither lz4's nor snappy's decoder takes a bound, and both take
 * the memory at once. What cannot be read is left to the decoder to refuse.
 */

/** A snappy block begins with its unpacked length as a varint, which its decoder holds it to. */
export function snappyDecodedBytes(block: Uint8Array): number {
  let size = 0
  for (let at = 0, scale = 1; at < Math.min(5, block.length); at++, scale *= 128) {
    size += (block[at]! & 127) * scale
    if (block[at]! < 128) return size
  }
  return 0
}

const FRAME_MAGIC = 0x184d2204
const FRAME_FLAGS = { blockChecksum: 16, contentSize: 8, contentChecksum: 4, dictionary: 1 }
const STORED = 0x80000000
const MIN_MATCH = 4
const MORE = 15

/** Sums the blocks of LZ4 frames up to `most`, without unpacking any: the size that a frame may state is anybody's. */
export function lz4DecodedBytes(frames: Buffer, most: number): number {
  let size = 0
  let at = 0
  while (at + 7 <= frames.length && frames.readUInt32LE(at) === FRAME_MAGIC) {
    const flags = frames[at + 4]!
    at += 7
    if (flags & FRAME_FLAGS.contentSize) at += 8
    if (flags & FRAME_FLAGS.dictionary) at += 4
    for (;;) {
      if (at + 4 > frames.length || size > most) return size
      const header = frames.readUInt32LE(at)
      at += 4
      if (header === 0) break
      const length = header % STORED
      const block = frames.subarray(at, at + length)
      size += header >= STORED ? block.length : lz4BlockBytes(block, most - size)
      at += length + (flags & FRAME_FLAGS.blockChecksum ? 4 : 0)
    }
    if (flags & FRAME_FLAGS.contentChecksum) at += 4
  }
  return size
}

/** A block is a row of sequences: literals, then a match of bytes that came before. */
function lz4BlockBytes(block: Uint8Array, most: number): number {
  let size = 0
  let at = 0

  function lengthOf(nibble: number): number {
    let length = nibble
    if (nibble !== MORE) return length
    for (;;) {
      const more = block[at++] ?? 0
      length += more
      if (more !== 255) return length
    }
  }

  while (at < block.length && size <= most) {
    const token = block[at++]!
    const literals = lengthOf(token >> 4)
    size += literals
    at += literals
    // The last sequence has no match.
    if (at >= block.length) break
    at += 2
    size += lengthOf(token & MORE) + MIN_MATCH
  }
  return size
}
