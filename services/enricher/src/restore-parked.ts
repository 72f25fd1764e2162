import type { Coordinate } from '@mesh/shared/core/coordinate'
import { MeshError } from '@mesh/shared/core/errors'
import type { KafkaRecord } from '@mesh/shared/core/record'
import type { PartitionOffsets } from '@mesh/shared/kafka/port'
import { type Books, stillParked } from './core/books.ts'
import { createParkedIndex } from './core/parked.ts'
import { isParkedKey, offsetOfKey, parkedCoordinate, unitOf } from './core/parked-state.ts'
import type { PublishedReleases } from './core/published-releases.ts'
import type { RestoreDeps } from './restore-context.ts'
import type { ParkedState, StateRecord } from './worker-context.ts'

type Found = {
  readonly of: Pick<Coordinate, 'topicId' | 'partition'>
  readonly books: Books
  /** Null: there is no state topic. */
  readonly state: PartitionOffsets | null
  readonly releases: PublishedReleases
}

/**
 * Which records are parked: what lies on the state partition, read against the committed books. Their bytes are not held.
 * @throws MeshError MESH_REFINE_STATE_LOST when the books count more parked records than there are.
 */
export async function restoreParked(deps: RestoreDeps, { of, books, state, releases }: Found): Promise<ParkedState> {
  const none = { live: new Map<number, StateRecord>(), foreign: [] }
  const { live, foreign } = state === null ? none : await readState(deps, { of, books, state })
  const index = createParkedIndex()
  const records = new Map<number, StateRecord>()
  const stale: StateRecord[] = [...foreign]
  const settled = new Set(books.parked.settled)
  // Source order per key.
  for (const offset of [...live.keys()].sort((a, b) => a - b)) {
    const record = live.get(offset)!
    if (offset >= books.sourceNext || releases.has(offset)) records.set(offset, record)
    else if (settled.has(offset)) stale.push(record)
    else index.park(record.unit, { offset, stateOffset: record.stateOffset, parkedAtMs: record.parkedAtMs }, null)
  }
  const missing = stillParked(books) - index.size() - releases.pending(books.sourceNext)
  if (missing !== 0) {
    throw new MeshError('MESH_REFINE_STATE_LOST', `the books and the state topic differ by ${missing} parked records`, {
      place: `${deps.topics.state}/${of.partition}`,
    })
  }
  if (state !== null) books.parked.stateNext = state.highWatermark
  const bodies = deps.openBodies(of.partition)
  return { hasTopic: state !== null, index, releases, records, stale, bodies }
}

type State = { readonly live: Map<number, StateRecord>; readonly foreign: readonly StateRecord[] }

async function readState(
  deps: RestoreDeps,
  { of, books, state }: { of: Found['of']; books: Books; state: PartitionOffsets },
): Promise<State> {
  const { partition } = of
  const { stateFrom, stateNext } = books.parked
  if (stateNext > state.highWatermark) {
    throw new MeshError('MESH_REFINE_STATE_LOST', 'the state topic ends below what was written to it', {
      place: `${deps.topics.state}/${partition}`,
    })
  }
  const live = new Map<number, StateRecord>()
  const foreign = new Map<number, StateRecord>()
  const settled = new Set(books.parked.settled)
  const take = (record: KafkaRecord): void => {
    if (!isParkedKey(record.key)) return
    const offset = offsetOfKey(record.key)
    // Beyond the books only what they have not decided counts: anything else is of a process that was cut off.
    const beyond = !books.transactional && record.offset >= stateNext
    const isForeign = beyond && offset < books.sourceNext && !settled.has(offset)
    if (record.value === null) {
      if (!isForeign) live.delete(offset)
      return
    }
    if (parkedCoordinate(record).topicId !== of.topicId) return
    const earlier = live.get(offset)
    const parkedAtMs = earlier?.parkedAtMs ?? record.timestamp
    const found = { key: Uint8Array.from(record.key), unit: unitOf(record), stateOffset: record.offset, parkedAtMs }
    if (isForeign && earlier === undefined) foreign.set(offset, found)
    else live.set(offset, found)
  }
  const range = { partition, from: Math.max(stateFrom, state.logStartOffset), to: state.highWatermark }
  if (range.from < range.to) {
    await deps.kafka.readRanges(deps.topics.state, [range], (batch) => batch.records.forEach(take))
  }
  return { live, foreign: [...foreign.values()] }
}
