/** Kafka's Java clients write snappy as xerial blocks: 8 magic bytes, two int32 versions, then (int32 length, block) pairs. */
const MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const HEADER_BYTES = 16

/** Decodes xerial blocks, or plain snappy where the magic is absent. */
export function decodeXerial(bytes: Buffer, decompress: (block: Buffer) => Uint8Array): Uint8Array {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return decompress(bytes)
  const blocks: Uint8Array[] = []
  let at = HEADER_BYTES
  while (at < bytes.length) {
    if (at + 4 > bytes.length) throw new RangeError('xerial snappy: a block length is cut off')
    const length = bytes.readUInt32BE(at)
    at += 4
    if (at + length > bytes.length) throw new RangeError('xerial snappy: a block is cut off')
    blocks.push(decompress(bytes.subarray(at, at + length)))
    at += length
  }
  return Buffer.concat(blocks)
}
