import type { Run, RunError, RunResult, StreamingState } from '@mesh/shared/core/runs'
import type { StreamLook } from './ports.ts'
import { end, iso } from './run-state.ts'

/** Transitions of a run that streams, beside those of `run-state.ts`. Times are epoch ms. */

export type StreamStop = NonNullable<StreamingState['stop']>

export const NEVER_STREAMED: StreamingState = {
  recoverFrom: null,
  stop: null,
  engineState: null,
  program: null,
  changed: false,
}

/** Null: the run has an end of its own. */
export const streamingOf = (run: Run | null): StreamingState | null => run?.streaming ?? null

export const withStream = (run: Run, change: Partial<StreamingState>): Run => ({
  ...run,
  streaming: { ...(run.streaming ?? NEVER_STREAMED), ...change },
})

/** The run as the engine and the program's files show it; the same object when they say nothing new. */
export function seen(run: Run, { engineState, artefacts }: StreamLook, program: string | null): Run {
  const before = run.streaming!
  const changed = program !== null && before.program !== null && program !== before.program
  const answered = run.error?.code.startsWith('MESH_JOB_ENGINE') ?? false
  if (before.engineState === engineState && before.changed === changed && !answered) return run
  const message = changed ? 'the program has changed since this job began: stop and resume it, or begin anew' : null
  const error = answered ? null : run.error
  return { ...withStream(run, { engineState, changed }), error, result: { outputs: [], artefacts, message } }
}

export function stopped(run: Run, stop: { savepoint: string | null; result: RunResult | null }, now: number): Run {
  const { recoverFrom, stop: asked } = run.streaming!
  const own = {
    recoverFrom: stop.savepoint ?? recoverFrom,
    // Ended at the engine, by somebody who did not ask here.
    stop: asked ?? { at: iso(now), reason: 'asked' as const },
    engineState: null,
  }
  const result = stop.result ?? run.result
  return { ...withStream(end(run, null, now), own), state: 'stopped', error: null, result, endedAt: iso(now) }
}

/** The engine could not take a savepoint: it streams on, and the request is void. */
export const stopFailed = (run: Run, reason: string): Run => ({
  ...withStream(run, { stop: null }),
  error: { code: 'MESH_JOB_FAILED', message: `there is no savepoint, the job streams on: ${reason}` },
})

/** Beginning again from an older checkpoint would write a second time what came after it: a person has to say where. */
export function lost(run: Run, now: number): Run {
  const { 'flink job': page, checkpoint } = run.result?.artefacts ?? {}
  const known = [page, checkpoint && `a checkpoint it had is ${checkpoint}`].filter(Boolean).join('; ')
  const message = `the engine does not know the job any more${known === '' ? '' : `: ${known}`}`
  const error: RunError = { code: 'MESH_JOB_LOST', message }
  return { ...withStream(end(run, error, now), { stop: null }), state: 'dead', error, endedAt: iso(now) }
}

/**
 * What a failed attempt left for the next one. One that made a checkpoint has come further: failures before it count no more, as a job
 * that streams for months would otherwise run out of them.
 */
export function afterFailure(run: Run, checkpoint: string | null): Run {
  const moved = checkpoint !== null && checkpoint !== run.streaming!.recoverFrom
  const next = withStream(run, { recoverFrom: checkpoint ?? run.streaming!.recoverFrom, engineState: null })
  return moved ? { ...next, failures: 0 } : next
}

/** Why a stop makes no sense; null when it does. */
export function stopProblem(run: Run | null): string | null {
  if (run === null || run.streaming === undefined) return 'there is nothing that streams'
  return ['planned', 'running', 'failed'].includes(run.state) ? null : `run ${run.id} is ${run.state}`
}

/** @param moved the live version is another one than the run's */
export function resumeProblem(run: Run | null, from: string | null, moved: boolean): string | null {
  if (run === null || run.streaming === undefined) return 'nothing has streamed yet: `mesh jobs run` begins it'
  if (run.state !== 'stopped' && run.state !== 'dead') return `run ${run.id} is ${run.state}`
  if (moved) return `run ${run.id} is over a version that is not live any more: \`mesh jobs run --full\` begins anew`
  const isLost = run.error?.code === 'MESH_JOB_LOST'
  return isLost && from === null ? `run ${run.id} was lost by its engine: name a checkpoint with --from` : null
}

/** Whether a run may be asked for by hand. */
export function runProblem(run: Run | null, full: boolean): string | null {
  if (run === null || run.streaming === undefined) return null
  if (['planned', 'running', 'failed'].includes(run.state)) return `run ${run.id} streams: it is ${run.state}`
  return full ? null : `run ${run.id} is ${run.state}: resume it, or begin anew with --full`
}

/** For readiness: `state` in the engine's word while it has the job; `watched` false: its file is gone or wrong, and it streams on. */
export type StreamState = {
  readonly job: string
  readonly run: string
  readonly state: string
  readonly watched: boolean
}

/** Of every job the newest run, where it streams or waits to be resumed. */
export function streamStates(runs: readonly Run[], isWatched: (job: string) => boolean): StreamState[] {
  const newest = new Map<string, Run>()
  for (const run of runs) if (run.seq > (newest.get(run.job)?.seq ?? 0)) newest.set(run.job, run)
  return [...newest.values()].flatMap(({ id, job, state, streaming }) => {
    if (streaming === undefined || state === 'succeeded') return []
    const shown = state !== 'running' ? state : streaming.stop ? 'stopping' : (streaming.engineState ?? 'starting')
    return [{ job, run: id, state: shown, watched: isWatched(job) }]
  })
}
