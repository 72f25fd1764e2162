import { formatMeshSrc, type MeshSrc } from '@mesh/shared/core/coordinate'

const SEMICOLON = 0x3b
const ZERO = 0x30
/** Above it `/ 10` in whole steps is not exact any more. */
const MAX_DIGITS_BY_HAND = 1e15

/** All of a partition's records begin alike; what the last one began with is kept. */
let last = { lane: '', topicId: '', partition: -1, bytes: Buffer.alloc(0) }

/** `formatMeshSrc` as bytes. Written digit by digit, because building the text costs three times as much, for every output. */
export function meshSrcBytes(src: MeshSrc): Buffer {
  const { lane, topicId, partition, offset, index } = src
  if (index > 9 || offset > MAX_DIGITS_BY_HAND) return Buffer.from(formatMeshSrc(src))
  if (partition !== last.partition || topicId !== last.topicId || lane !== last.lane) {
    last = { lane, topicId, partition, bytes: Buffer.from(`${lane};${topicId};${partition};`) }
  }
  const start = last.bytes
  let digits = 1
  for (let rest = offset; rest >= 10; rest = Math.floor(rest / 10)) digits++
  const bytes = Buffer.allocUnsafe(start.length + digits + 2)
  bytes.set(start)
  let at = start.length + digits
  bytes[at] = SEMICOLON
  bytes[at + 1] = ZERO + index
  for (let rest = offset; digits > 0; digits--) {
    const next = Math.floor(rest / 10)
    bytes[--at] = ZERO + (rest - next * 10)
    rest = next
  }
  return bytes
}
