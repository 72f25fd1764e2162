import { type CommitEvent, commitKey } from '@mesh/shared/core/books'
import type { InputKey, InputPosition, InputRange, InputVector } from '@mesh/shared/core/runs'

/** Positions by `positionKey`. */
export type Positions = ReadonlyMap<string, InputPosition>

/** The topic's id is part of it: a topic that was created anew begins at 0. */
export const positionKey = (key: InputKey): string => `${commitKey(key)}/${key.topicId}`

/** Moves the table in place. False for what it knows already: commit events are repeated and cumulative. */
export function advancePosition(positions: Map<string, InputPosition>, event: CommitEvent): boolean {
  const key = positionKey(event)
  if ((positions.get(key)?.offset ?? 0) >= event.nextOffset) return false
  const { layer, stream, version, lane, topicId, partition, nextOffset, highest, at, objects } = event
  const place = { layer, stream, version, lane, topicId, partition }
  positions.set(key, { ...place, offset: nextOffset, highest: highest ?? {}, at, objects: objects.slice(0, 100) })
  return true
}

/** What lies between `covered` and `positions`, for the keys that are wanted. */
export function pendingVector(
  covered: Positions,
  positions: Positions,
  wanted: (key: InputKey) => boolean,
): InputVector {
  const ranges: InputRange[] = []
  for (const [key, position] of positions) {
    if (!wanted(position)) continue
    const before = covered.get(key)
    if ((before?.offset ?? 0) >= position.offset) continue
    const { layer, stream, version, lane, topicId, partition } = position
    const place = { layer, stream, version, lane, topicId, partition }
    const rows = { after: before?.highest ?? {}, upTo: position.highest }
    ranges.push({ ...place, from: before?.offset ?? 0, to: position.offset, ...rows })
  }
  return sorted(ranges)
}

/** Two vectors of which the second begins, per key, where the first ended. @throws RangeError when it does not */
export function mergeVectors(first: InputVector, second: InputVector): InputVector {
  const merged = new Map(first.map((range) => [positionKey(range), range]))
  for (const range of second) {
    const key = positionKey(range)
    const before = merged.get(key)
    if (before && before.to !== range.from) throw new RangeError(`${key}: ${range.from} does not follow ${before.to}`)
    merged.set(key, before ? { ...range, from: before.from, after: before.after } : range)
  }
  return sorted([...merged.values()])
}

/** The first range that does not begin where `covered` ends, as a sentence; null when every one does. */
export function gapIn(covered: Positions, vector: InputVector): string | null {
  for (const range of vector) {
    const stands = covered.get(positionKey(range))?.offset ?? 0
    if (range.from !== stands) return `${positionKey(range)} begins at ${range.from}, the job has had ${stands}`
  }
  return null
}

/** `covered` moved on by a vector: each of its ends, taken from the table of positions that it was made from. */
export function coverVector(covered: Positions, vector: InputVector, positions: Positions): InputPosition[] {
  const moved = new Map(covered)
  for (const range of vector) {
    const position = positions.get(positionKey(range))
    if (position) moved.set(positionKey(range), { ...position, offset: range.to, highest: range.upTo })
  }
  return [...moved.values()].sort(byKey)
}

/** Offsets in a vector. */
export const vectorSize = (vector: InputVector): number => vector.reduce((sum, { from, to }) => sum + to - from, 0)

export const positionsOf = (list: readonly InputPosition[]): Map<string, InputPosition> =>
  new Map(list.map((position) => [positionKey(position), position]))

const sorted = (ranges: readonly InputRange[]): InputVector => ranges.toSorted(byKey)

function byKey(a: InputKey, b: InputKey): number {
  const [left, right] = [positionKey(a), positionKey(b)]
  return left < right ? -1 : left > right ? 1 : 0
}
