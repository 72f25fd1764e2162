import type { CandidateLag } from '@mesh/shared/core/replay-api'
import type { StillParked } from '@mesh/shared/core/still-parked'

/** Per partition; null = the group has committed nothing there. */
export type CandidatePositions = {
  /** Raw position of the live version's enricher. */
  readonly live: readonly number[]
  /** Raw position of the candidate's enricher; null while it reads its replay topic. */
  readonly candidate: readonly (number | null)[]
  /** What waits in the lane `parked` of both versions, as their books have it. */
  readonly parked: readonly StillParked[]
  /** Replay records that the candidate has still to read. */
  readonly replayLeft: readonly number[]
  /** Raw offset from which the candidate reads raw itself. */
  readonly changeover: readonly number[]
  /** High watermarks of the candidate's refined topic, read after `candidate`. */
  readonly refinedEnd: readonly number[]
  readonly silver: readonly (number | null)[]
  readonly landing: readonly (number | null)[]
}

/**
 * What the candidate must reach to count as caught up, frozen so that live traffic does not move it: first where the live enricher
 * was, then, once its own enricher is there, what it had written by then must be in both sinks.
 */
export type ReadinessTarget = {
  /** Epoch ms at which the live positions were read. */
  readonly takenAt: number
  readonly live: readonly number[]
  readonly refined: readonly number[] | null
}

export type Assessment = { readonly target: ReadinessTarget; readonly reached: boolean }

/** One look: takes a target when there is none, then tells whether the positions have reached it. */
export function assessReadiness(
  target: ReadinessTarget | null,
  positions: CandidatePositions,
  now: number,
): Assessment {
  let next = target ?? { takenAt: now, live: positions.live, refined: null }
  if (!enricherReached(next.live, positions.candidate)) return { target: next, reached: false }
  next = next.refined === null ? { ...next, refined: positions.refinedEnd } : next
  const refined = next.refined!
  const reached = atLeast(positions.silver, refined) && atLeast(positions.landing, refined)
  return { target: next, reached }
}

/** True when the candidate reads raw on every partition and is at or beyond `live`. */
export function enricherReached(live: readonly number[], candidate: readonly (number | null)[]): boolean {
  return live.every((offset, p) => {
    const at = candidate[p] ?? null
    return at !== null && at >= offset
  })
}

/** True when neither version has anything parked below these raw offsets. */
export function nothingParkedBelow(raw: readonly number[], { parked }: Pick<CandidatePositions, 'parked'>): boolean {
  return raw.every((offset, p) => (parked[p]?.from ?? offset) >= offset)
}

export function candidateLag(positions: CandidatePositions): CandidateLag[] {
  const { live, candidate, replayLeft, changeover, refinedEnd, silver, landing, parked } = positions
  return live.map((offset, partition) => {
    const at = candidate[partition] ?? null
    const behind = Math.max(0, offset - (at ?? changeover[partition]!))
    return {
      partition,
      // A candidate that has read its whole replay topic but not yet changed over is one step behind.
      enricher: at === null ? Math.max(1, behind + replayLeft[partition]!) : behind,
      silver: Math.max(0, refinedEnd[partition]! - (silver[partition] ?? 0)),
      landing: Math.max(0, refinedEnd[partition]! - (landing[partition] ?? 0)),
      parked: parked[partition]?.records ?? 0,
    }
  })
}

/** `partition 0: enricher 5, silver 0, landing 12 behind`, for partitions that are behind. */
export function describeLag(lag: readonly CandidateLag[]): string {
  const behind = lag.filter((of) => of.enricher + of.silver + of.landing + (of.parked ?? 0) > 0)
  if (behind.length === 0) return 'every partition has caught up, and that is being confirmed'
  return behind
    .map(
      (of) =>
        `partition ${of.partition}: enricher ${of.enricher}, silver ${of.silver}, landing ${of.landing} behind${of.parked ? `, ${of.parked} parked` : ''}`,
    )
    .join('; ')
}

function atLeast(positions: readonly (number | null)[], ends: readonly number[]): boolean {
  return ends.every((end, p) => (positions[p] ?? 0) >= end)
}
