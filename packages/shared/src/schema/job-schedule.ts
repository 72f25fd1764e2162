import { Cron } from 'croner'

export type Schedule = { readonly cron: string; readonly zone: string }

/** The first instant of the schedule after `afterMs` (epoch ms); null when there is none any more. */
export function nextScheduled({ cron, zone }: Schedule, afterMs: number): number | null {
  return new Cron(cron, { timezone: zone }).nextRun(new Date(afterMs))?.getTime() ?? null
}

/** Why the expression or its zone cannot be read; null when they can. */
export function scheduleProblem(schedule: Schedule): string | null {
  try {
    nextScheduled(schedule, 0)
    return null
  } catch (error) {
    return (error as Error).message
  }
}
