import { createHash } from 'node:crypto'
import { MeshError } from '@mesh/shared/core/errors'
import { parseInstant } from '@mesh/shared/core/instant'
import type { PartitionPlan, ReplayBound, ReplayPlan, ReplayRequest } from '@mesh/shared/core/replay-api'

/** [from, to) of offsets. */
export type OffsetRange = { readonly from: number; readonly to: number }

/** What log and lake hold of a raw partition when the plan is made. */
export type PartitionFacts = {
  readonly partition: number
  readonly logStartOffset: number
  /** End of what is there: behind it a transaction may be open. */
  readonly end: number
  /** Bronze is complete over [droppedTo, nextOffset), its holes declared. */
  readonly lake: {
    readonly nextOffset: number
    readonly holes: readonly OffsetRange[]
    readonly droppedTo?: number | undefined
  }
  /** Bounds given as times, as the earliest offset at or after them. */
  readonly fromAtTime: number | null
  readonly toAtTime: number | null
}

/** Epoch ms of a bound given as a time; null for offsets or none. @throws MeshError MESH_REPLAY_INVALID */
export function boundTime(name: 'from' | 'to', bound: ReplayBound | undefined): number | null {
  if (typeof bound !== 'string') return null
  const instant = parseInstant(bound)
  if (!instant || instant.offset === null) {
    throw new MeshError('MESH_REPLAY_INVALID', `${name} is not an RFC 3339 time: ${bound.slice(0, 40)}`)
  }
  return instant.epochMs
}

/**
 * Freezes a replay: per partition [from, to), and how much of it comes from the lake. The same request over the same history gives
 * the same plan and hash.
 * @throws MeshError MESH_REPLAY_INVALID, MESH_REPLAY_GAP naming partitions and offsets
 */
export function makePlan(
  request: Pick<ReplayRequest, 'from' | 'to' | 'source'>,
  facts: readonly PartitionFacts[],
  { rawTopicId, bundle }: { readonly rawTopicId: string; readonly bundle: string },
): ReplayPlan {
  for (const bound of [request.from, request.to]) checkPartitions(bound, facts.length)
  const source = request.source ?? 'auto'
  const partitions = facts.map((of): PartitionPlan => {
    const range = rangeOf(request, of)
    return { partition: of.partition, ...range, lakeTo: lakeEnd(source, range, of), holes: holesIn(range, of, source) }
  })
  const gaps = partitions.flatMap((plan, p) => gapsOf(source, plan, facts[p]!))
  if (gaps.length > 0) throw gapError(gaps)
  const plan = { rawTopicId, source, bundle, partitions }
  return { ...plan, hash: createHash('sha256').update(JSON.stringify(plan)).digest('hex') }
}

/** Where the lake's part of a range ends: as far as bronze reaches, which spares the brokers. */
export function lakeEnd(
  source: ReplayPlan['source'],
  { from, to }: OffsetRange,
  { lake }: Pick<PartitionFacts, 'lake'>,
): number {
  return source === 'log' ? from : Math.min(to, Math.max(from, lake.nextOffset))
}

/** A range that nothing covers. */
export type Gap = OffsetRange & { readonly partition: number; readonly missingFrom: 'lake' | 'log' }

/**
 * What of a range cannot be emitted from its sources. What the lake's retention dropped is one: a version without it is made only by
 * whoever asks for a later `from`. The changeover counts too: the candidate reads raw from there, so the log must still have it.
 */
export function gapsOf(
  source: ReplayPlan['source'],
  { partition, from, to, lakeTo }: Pick<PartitionPlan, 'partition' | 'from' | 'to' | 'lakeTo'>,
  { logStartOffset, lake }: Pick<PartitionFacts, 'logStartOffset' | 'lake'>,
): Gap[] {
  const kept = Math.min(lakeTo, lake.droppedTo ?? 0)
  if (from < kept) return [{ partition, from, to: kept, missingFrom: 'lake' }]
  if (source === 'lake' && lakeTo < to) return [{ partition, from: lakeTo, to, missingFrom: 'lake' }]
  // [lakeTo, to) is the log's part; with lakeTo = to this is the check of the changeover.
  return lakeTo < logStartOffset ? [{ partition, from: lakeTo, to: logStartOffset, missingFrom: 'log' }] : []
}

export function gapError(gaps: readonly Gap[]): MeshError {
  const text = gaps.map(
    ({ partition, from, to, missingFrom }) =>
      `partition ${partition} offsets [${from}, ${to}) are not in the ${missingFrom}`,
  )
  return new MeshError('MESH_REPLAY_GAP', text.join('; '))
}

function rangeOf(request: Pick<ReplayRequest, 'from' | 'to'>, facts: PartitionFacts): OffsetRange {
  const { partition, end, fromAtTime, toAtTime } = facts
  const from = boundOffset(request.from, partition, fromAtTime) ?? 0
  const to = boundOffset(request.to, partition, toAtTime) ?? end
  if (to > end || from > to) {
    throw new MeshError(
      'MESH_REPLAY_INVALID',
      `partition ${partition}: [${from}, ${to}) is no range within the log, which ends at ${end}`,
    )
  }
  return { from, to }
}

function boundOffset(bound: ReplayBound | undefined, partition: number, atTime: number | null): number | null {
  return typeof bound === 'string' ? atTime : (bound?.[String(partition)] ?? null)
}

function holesIn({ from, to }: OffsetRange, { lake }: PartitionFacts, source: ReplayPlan['source']): number {
  if (source === 'log') return 0
  return lake.holes.reduce((sum, hole) => sum + Math.max(0, Math.min(to, hole.to) - Math.max(from, hole.from)), 0)
}

function checkPartitions(bound: ReplayBound | undefined, partitions: number): void {
  if (bound === undefined || typeof bound === 'string') return
  const unknown = Object.keys(bound).find((partition) => Number(partition) >= partitions)
  if (unknown !== undefined) {
    throw new MeshError('MESH_REPLAY_INVALID', `partition ${unknown} does not exist; there are ${partitions}`)
  }
}

/**
 * New ends for partitions whose changeover has come to lie in the older half of raw's retention, null when none has: the candidate
 * still needs time to reach its changeover, and must find it in the log.
 * @param youngFrom per partition the earliest offset in the younger half of the retention, the log's stable end where there is none
 */
export function agedChangeover(
  changeover: readonly number[],
  youngFrom: readonly number[],
  ends: readonly number[],
): number[] | null {
  const moved = changeover.map((offset, p) => (offset < youngFrom[p]! ? ends[p]! : offset))
  return moved.some((offset, p) => offset !== changeover[p]) ? moved : null
}
