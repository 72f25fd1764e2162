import type { JobDefinition } from '@mesh/shared/schema/job-file'

/** When input came that no run has been given: its first and its newest, epoch ms. */
export type Activity = { readonly firstAt: number; readonly lastAt: number }

export const noteActivity = (activity: Activity | null, now: number): Activity => ({
  firstAt: activity?.firstAt ?? now,
  lastAt: now,
})

/**
 * When a run over what came is due: once it has been quiet, at the latest `maxWait` after the first of it, never sooner than
 * `minInterval` after the run before was planned. Epoch ms.
 */
export function dueAt(
  { quietMs, maxWaitMs, minIntervalMs }: JobDefinition['coalesce'],
  activity: Activity,
  lastPlannedAt: number | null,
): number {
  const settled = Math.min(activity.lastAt + quietMs, activity.firstAt + maxWaitMs)
  return lastPlannedAt === null ? settled : Math.max(settled, lastPlannedAt + minIntervalMs)
}
