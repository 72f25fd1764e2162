import { MeshError } from './errors.ts'

/** A raw record's identity for ever. A topic's name is not identity: a re-created topic reuses offsets. */
export type Coordinate = { readonly topicId: string; readonly partition: number; readonly offset: number }

/** An ordered sequence of outputs from one raw partition. A later lane: `redrive-<job>`. */
export type Lane = string
export const MAIN_LANE: Lane = 'main'
/** Outputs of records that waited. Its offsets count outputs in the order of their release; `mesh-origin` names the raw record. */
export const PARKED_LANE: Lane = 'parked'

/** The derived identity of a refined record: which output of which raw record, in which lane. */
export type MeshSrc = Coordinate & { readonly lane: Lane; readonly index: number }

/** `lane;topicId;partition;offset;index`, the value of the `mesh-src` header. */
export function formatMeshSrc(src: MeshSrc): string {
  return `${src.lane};${src.topicId};${src.partition};${src.offset};${src.index}`
}

/** @throws MeshError MESH_DECODE_AVRO when the text is not a mesh-src. */
export function parseMeshSrc(text: string): MeshSrc {
  const parts = text.split(';')
  const [lane, topicId, partition, offset, index] = parts
  const numbers = [partition, offset, index].map(Number)
  if (parts.length !== 5 || !lane || !topicId || !numbers.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new MeshError('MESH_DECODE_AVRO', `mesh-src is not readable: ${text.slice(0, 120)}`)
  }
  return { lane, topicId, partition: numbers[0]!, offset: numbers[1]!, index: numbers[2]! }
}

/** Order inside one (lane, topicId, partition): by offset, then by output index. */
export function compareMeshSrc(a: { offset: number; index: number }, b: { offset: number; index: number }): number {
  return a.offset - b.offset || a.index - b.index
}

/** The key under which a reader keeps its highest mesh-src: one entry makes it exact for that sequence. */
export function sequenceKey(src: { lane: Lane; topicId: string; partition: number }): string {
  return `${src.lane};${src.topicId};${src.partition}`
}

/** Highest mesh-src seen per (lane, topicId, partition). JSON-safe, stored atomically with a reader's progress. */
export type HighestSrc = Record<string, { offset: number; index: number }>

/** True when the record was taken already; a redelivery is counted, not read again. */
export function isRedelivered(highest: HighestSrc, src: MeshSrc): boolean {
  const seen = highest[sequenceKey(src)]
  return seen !== undefined && compareMeshSrc(src, seen) <= 0
}

/** Moves the mark in place. The caller has checked `isRedelivered` first. */
export function advanceHighest(highest: HighestSrc, src: MeshSrc): void {
  highest[sequenceKey(src)] = { offset: src.offset, index: src.index }
}

/** Which output of which raw record, where `mesh-src` counts something else than raw offsets. */
export type Origin = Coordinate & { readonly index: number }

/** `topicId;partition;offset;index`, the value of the `mesh-origin` header. */
export const formatOrigin = ({ topicId, partition, offset, index }: Origin): string =>
  `${topicId};${partition};${offset};${index}`

/** @throws MeshError MESH_DECODE_AVRO when the text is not a mesh-origin. */
export function parseOrigin(text: string): Origin {
  const { topicId, partition, offset, index } = parseMeshSrc(`${PARKED_LANE};${text}`)
  return { topicId, partition, offset, index }
}
