import { Cron } from 'croner'

/** When something is due: at a fixed distance from its last begin, or at the times of a cron expression. */
export type Schedule = { readonly everyMs: number } | { readonly cron: string; readonly zone: string }

/** Why a cron expression or its zone cannot be used, or null. */
export function cronProblem(cron: string, zone: string): string | null {
  try {
    return new Cron(cron, { timezone: zone, paused: true }).nextRun() === null ? `${cron} never comes` : null
  } catch {
    return `${cron} in ${zone} is no cron expression of five or six fields in an IANA time zone`
  }
}

/** Epoch ms of the next time after `last` (null = never before: at once, or at the next time from `now`). */
export function nextDue(schedule: Schedule, last: number | null, now: number): number {
  if ('everyMs' in schedule) return last === null ? now : last + schedule.everyMs
  const next = new Cron(schedule.cron, { timezone: schedule.zone, paused: true }).nextRun(new Date(last ?? now))
  return next?.getTime() ?? Number.POSITIVE_INFINITY
}
