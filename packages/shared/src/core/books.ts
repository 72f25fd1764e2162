import { hash as hashOnce } from 'node:crypto'
import type { Coordinate, HighestSrc, Lane, MeshSrc } from './coordinate.ts'
import { formatMeshSrc } from './coordinate.ts'
import { asBuffer } from './json-text.ts'
import type { RecordHeader } from './record.ts'
import type { Layer } from './topics.ts'

/** Fates and holes per (layer, stream, version, lane, topicId, partition), cumulative since the chain began. */
export type Counts = {
  readonly ok: number
  readonly outputs: number
  readonly duplicate: number
  readonly drop: number
  readonly deadLetter: number
  readonly parked: number
  readonly redelivered: number
  readonly hole: number
}

export const ZERO_COUNTS: Counts = {
  ok: 0,
  outputs: 0,
  duplicate: 0,
  drop: 0,
  deadLetter: 0,
  parked: 0,
  redelivered: 0,
  hole: 0,
}

export function addCounts(a: Counts, b: Partial<Counts>): Counts {
  return {
    ok: a.ok + (b.ok ?? 0),
    outputs: a.outputs + (b.outputs ?? 0),
    duplicate: a.duplicate + (b.duplicate ?? 0),
    drop: a.drop + (b.drop ?? 0),
    deadLetter: a.deadLetter + (b.deadLetter ?? 0),
    parked: a.parked + (b.parked ?? 0),
    redelivered: a.redelivered + (b.redelivered ?? 0),
    hole: a.hole + (b.hole ?? 0),
  }
}

/**
 * A content sum: record hashes added mod 2^128, so order does not matter, repeats do (XOR would cancel them), and a part can
 * be subtracted. Text form: 32 lower-case hex digits.
 */
export type HashSum = bigint
const MODULUS = 1n << 128n
const MASK = MODULUS - 1n

export const addHash = (sum: HashSum, hash: HashSum): HashSum => (sum + hash) & MASK
export const subtractHash = (sum: HashSum, hash: HashSum): HashSum => (sum - hash + MODULUS) & MASK
export const formatHash = (sum: HashSum): string => sum.toString(16).padStart(32, '0')
export const parseHash = (text: string): HashSum => BigInt(`0x${text || '0'}`) & MASK

/** The `_hash` of a refined record: SHA-256 over (mesh-src, key, Avro payload without its 5-byte frame), first 128 bits. */
export function refinedHash(src: MeshSrc, key: Uint8Array | null, payload: Uint8Array | null): HashSum {
  return refinedHashOf(Buffer.from(formatMeshSrc(src), 'latin1'), key, payload)
}

/** The same for who has the text of the mesh-src at hand (ASCII). The payload begins at byte `from` of `value`. */
export function refinedHashOf(
  src: Uint8Array,
  key: Uint8Array | null,
  value: Uint8Array | null,
  from: number = 0,
): HashSum {
  const payloadBytes = value === null ? 0 : value.byteLength - from
  const size = 3 * LENGTH_BYTES + src.byteLength + (key?.byteLength ?? 0) + payloadBytes
  const bytes = scratchOf(size)
  let at = writePart(bytes, 0, src)
  at = writePart(bytes, at, key)
  writePart(bytes, at, value, from)
  return hashOf(bytes, size)
}

/** The hash of a raw record for bronze's books: over (coordinate, key, value, headers in order). */
export function rawHash(
  at: Coordinate,
  record: { key: Uint8Array | null; value: Uint8Array | null; headers: readonly RecordHeader[] },
): HashSum {
  const parts: (Uint8Array | null)[] = [
    Buffer.from(`${at.topicId};${at.partition};${at.offset}`),
    record.key,
    record.value,
  ]
  // Kafka keeps the order of headers; a store may group a repeated name, so only the order within a name counts here.
  const sorted = record.headers
    .map((h, i) => ({ h, i }))
    .sort((a, b) => (a.h.name < b.h.name ? -1 : a.h.name > b.h.name ? 1 : a.i - b.i))
  for (const { h } of sorted) parts.push(Buffer.from(h.name), h.value)
  return digest(parts)
}

const NO_BYTES = -1
const LENGTH_BYTES = 4
const MAX_KEPT_BYTES = 1 << 20
let scratch = Buffer.allocUnsafeSlow(16_384)
/** Views of the first bytes of `scratch`, by their length: a view for each hash would cost a tenth of it. */
let views: Buffer[] = []
const MAX_VIEWS = 4096
/** Below this many bytes a loop copies faster than a native call. */
const SHORT = 32

/**
 * Length-prefixed, so that no two part lists share an encoding; null (−1) differs from empty (0). The parts are laid out in one buffer
 * first: one call into the hash is several times cheaper than one for each part.
 */
function digest(parts: readonly (Uint8Array | null)[]): HashSum {
  let size = 0
  for (const part of parts) size += LENGTH_BYTES + (part?.byteLength ?? 0)
  const bytes = scratchOf(size)
  let at = 0
  for (const part of parts) at = writePart(bytes, at, part)
  return hashOf(bytes, size)
}

/** Writes the part's bytes from `from` on after their length. The position after them. */
function writePart(to: Buffer, start: number, part: Uint8Array | null, from = 0): number {
  const length = part === null ? NO_BYTES : part.byteLength - from
  to[start] = length >>> 24
  to[start + 1] = length >>> 16
  to[start + 2] = length >>> 8
  to[start + 3] = length
  const at = start + LENGTH_BYTES
  if (part === null) return at
  if (length < SHORT) for (let i = 0; i < length; i++) to[at + i] = part[from + i]!
  else asBuffer(part).copy(to, at, from)
  return at + length
}

/** The first 128 bits of the SHA-256 of the first `size` bytes. */
function hashOf(bytes: Buffer, size: number): HashSum {
  // As binary text it comes without a Buffer of its own, at a third of the cost.
  const out = hashOnce('sha256', viewOf(bytes, size), 'binary')
  for (let word = 0; word < 4; word++) {
    const from = 12 - word * 4
    words[word] =
      (out.charCodeAt(from) << 24) |
      (out.charCodeAt(from + 1) << 16) |
      (out.charCodeAt(from + 2) << 8) |
      out.charCodeAt(from + 3)
  }
  return (halves[1]! << 64n) | halves[0]!
}

function viewOf(bytes: Buffer, size: number): Buffer {
  if (bytes !== scratch || size >= MAX_VIEWS) return bytes.subarray(0, size)
  return (views[size] ??= bytes.subarray(0, size))
}

/** The 128 bits of a digest, lowest first: little-endian, as every machine that Node runs on. */
const words = new Uint32Array(4)
const halves = new BigUint64Array(words.buffer)

function scratchOf(size: number): Buffer {
  if (size > MAX_KEPT_BYTES) return Buffer.allocUnsafeSlow(size)
  if (size > scratch.length) {
    scratch = Buffer.allocUnsafeSlow(size * 2)
    views = []
  }
  return scratch
}

/** The record on `mesh.commits` that announces a durable step. Cumulative, so a lost or repeated one does no harm. */
export type CommitEvent = {
  readonly layer: Layer
  readonly stream: string
  readonly version: number
  readonly lane: Lane
  readonly topicId: string
  readonly partition: number
  /** The range this step made durable; ranges of neighbours tile. Raw offsets for refined and bronze, refined offsets for silver and landing. */
  readonly firstOffset: number
  readonly nextOffset: number
  readonly counts: Counts
  readonly bytes: number
  readonly objects: readonly string[]
  /** Epoch ms, null where nothing carried one. */
  readonly minEventTime: number | null
  readonly maxEventTime: number | null
  readonly hash: string
  /**
   * Silver and landing: the highest mesh-src per sequence up to `nextOffset`. Their rows carry raw coordinates, so between two of
   * these lie exactly the rows of a range.
   */
  readonly highest?: HighestSrc
  readonly codeHash: string
  readonly contractHash: string
  /** RFC 3339 time of publishing. */
  readonly at: string
}

/** Key of a commit event on `mesh.commits`. */
export function commitKey(event: Pick<CommitEvent, 'layer' | 'stream' | 'version' | 'lane' | 'partition'>): string {
  return `${event.layer}/${event.stream}/v${event.version}/${event.lane}/${event.partition}`
}
