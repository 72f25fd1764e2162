import { isMeshError } from '@mesh/shared/core/errors'
import type { Run, RunError } from '@mesh/shared/core/runs'
import type { JobDefinition } from '@mesh/shared/schema/job-file'
import type { Clock, Execution, ExecutionStatus, JobEngine, StreamLook } from './core/ports.ts'
import { runInput } from './core/run-input.ts'
import { awayPauseMs, begin, executionId, fail, isOpen, iso, putBack, succeed, supersede } from './core/run-state.ts'
import { afterFailure, lost, type StreamStop, seen, stopFailed, stopped, withStream } from './core/streaming.ts'

export type DriveDeps = {
  readonly job: JobDefinition
  readonly engine: JobEngine
  readonly clock: Clock
  readonly jitter: () => number
  /** Durable on return. */
  readonly save: (run: Run) => Promise<void>
  /** The run that takes this one's place while no engine has it, or null. */
  readonly replace: (waiting: Run) => Run | null
  /** Whether a run that streams is to end, and why. */
  readonly wantsStop: (run: Run) => StreamStop | null
  readonly signal: AbortSignal
}

/**
 * Takes a run to its end, from whatever state it is found in. Every step is written before the engine is asked: after a crash the
 * attempt is looked for by its id, so what an engine has is never begun again. Returns early when the signal is aborted.
 */
export async function driveRun(deps: DriveDeps, found: Run): Promise<void> {
  const { clock, signal } = deps
  let run = found
  let away = 0
  let forgotten = 0
  const pause = async (): Promise<void> => clock.wait(awayPauseMs(++away, deps.jitter()), signal)

  while (!signal.aborted) {
    const stop = run.streaming === undefined || run.streaming.stop !== null ? null : deps.wantsStop(run)
    if (stop !== null && isOpen(run)) {
      // Written before the engine is asked: whatever dies after it, the stop is gone on with.
      run = await saved(withStream(run, { stop }))
      continue
    }
    if (run.state === 'planned' || run.state === 'failed') {
      if (run.streaming?.stop) {
        run = await saved(stopped(run, { savepoint: null, result: null }, clock.now()))
        return
      }
      if (run.streaming && run.nextAttemptAt !== null && Date.parse(run.nextAttemptAt) > clock.now()) {
        // A stop is not to wait for the whole pause.
        const left = Date.parse(run.nextAttemptAt) - clock.now()
        await clock.wait(Math.min(left, deps.engine.pollMs), signal)
        continue
      }
      if (run.nextAttemptAt !== null) await clock.wait(Math.max(0, Date.parse(run.nextAttemptAt) - clock.now()), signal)
      if (signal.aborted) return
      const other = run.nextAttemptAt === null ? null : deps.replace(run)
      if (other !== null) {
        await deps.save(other)
        await deps.save(supersede(run, clock.now()))
        run = other
        continue
      }
      run = begin(run, clock.now())
      if (run.streaming) run = withStream(run, { program: await program(run), changed: false, engineState: null })
      await deps.save(run)
      run = await submitted(run)
      continue
    }
    if (run.state !== 'running') return
    run = await look(run)
  }

  /** Hands an attempt over that the engine cannot know, or says it does not. */
  async function submitted(current: Run): Promise<Run> {
    try {
      await deps.engine.submit(execution(deps.job, current))
      away = 0
      return current
    } catch (error) {
      const trouble = engineTrouble(error)
      if (trouble === null) throw error
      if (trouble.code === 'MESH_JOB_ENGINE_UNSURE') return unsure(current, trouble)
      const waiting = putBack(current, trouble, clock.now(), awayPauseMs(++away, deps.jitter()))
      await deps.save(waiting)
      return waiting
    }
  }

  async function look(current: Run): Promise<Run> {
    let status: ExecutionStatus
    try {
      status = await deps.engine.status(execution(deps.job, current))
    } catch (error) {
      const trouble = engineTrouble(error)
      if (trouble === null) throw error
      return unsure(current, trouble)
    }
    away = 0
    if (status.state !== 'unknown') forgotten = 0
    switch (status.state) {
      case 'unknown':
        if (!current.streaming?.engineState) return submitted(current)
        return ++forgotten < LOST_AFTER_LOOKS ? waited(current) : saved(lost(current, clock.now()))
      case 'running':
        if (current.streaming) return streams(current, status.stream ?? { engineState: 'RUNNING', artefacts: {} })
        return overdue(current) ? timedOut(current) : waited(current)
      case 'succeeded':
        return saved(succeed(current, status.result, clock.now()))
      case 'stopped':
        return saved(stopped(current, status, clock.now()))
      case 'failed':
        return failed(
          current.streaming ? afterFailure(current, status.checkpoint ?? null) : current,
          status.error,
          status.result,
        )
    }
  }

  async function streams(current: Run, look: StreamLook): Promise<Run> {
    const shown = seen(current, look, await program(current))
    if (shown !== current) await deps.save(shown)
    if (!shown.streaming!.stop) return waited(shown)
    try {
      const reason = await deps.engine.streaming!.stop(execution(deps.job, shown), shown.streaming!.stop.at)
      return await (reason === null ? waited(shown) : saved(stopFailed(shown, reason)))
    } catch (error) {
      const trouble = engineTrouble(error)
      if (trouble === null) throw error
      return unsure(shown, trouble)
    }
  }

  async function program(current: Run): Promise<string | null> {
    return (await deps.engine.streaming?.program(execution(deps.job, current))) ?? null
  }

  /** Visible, and asked again: the attempt may be under way. */
  async function unsure(current: Run, error: RunError): Promise<Run> {
    const next = { ...current, error }
    if (current.error?.message !== error.message) await deps.save(next)
    await pause()
    return next
  }

  async function waited(current: Run): Promise<Run> {
    await clock.wait(deps.engine.pollMs, signal)
    return current
  }

  function overdue(current: Run): boolean {
    const startedAt = current.attempts.at(-1)?.startedAt ?? iso(clock.now())
    return clock.now() - Date.parse(startedAt) > deps.job.timeoutMs
  }

  async function timedOut(current: Run): Promise<Run> {
    try {
      await deps.engine.cancel(execution(deps.job, current))
    } catch (error) {
      const trouble = engineTrouble(error)
      if (trouble === null) throw error
      return unsure(current, trouble)
    }
    const message = `attempt ${current.attempt} ran longer than ${deps.job.timeoutMs / 1000} s and was ended`
    return failed(current, { code: 'MESH_JOB_TIMEOUT', message }, null)
  }

  function failed(current: Run, error: RunError, result: Run['result']): Promise<Run> {
    return saved(fail(current, { error, result }, { job: deps.job, now: clock.now(), jitter: deps.jitter() }))
  }

  async function saved(next: Run): Promise<Run> {
    await deps.save(next)
    return next
  }
}

/** An engine that comes up may answer before it has recovered what it had. */
const LOST_AFTER_LOOKS = 10

export function execution(job: JobDefinition, run: Run): Execution {
  const id = executionId(run)
  return { id, run, job, input: runInput(run, id) }
}

/** What heals by itself; null for anything else. */
function engineTrouble(error: unknown): RunError | null {
  if (!isMeshError(error)) return null
  if (error.code !== 'MESH_JOB_ENGINE_AWAY' && error.code !== 'MESH_JOB_ENGINE_UNSURE') return null
  return { code: error.code, message: error.message }
}
