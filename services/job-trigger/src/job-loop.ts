import { MeshError } from '@mesh/shared/core/errors'
import type { JobView, Run } from '@mesh/shared/core/runs'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { JobDefinition } from '@mesh/shared/schema/job-file'
import { type Activity, noteActivity } from './core/coalescer.ts'
import { decideStream } from './core/plan-stream.ts'
import {
  decide,
  hasPending,
  type Moment,
  movedStreams,
  nextScheduleAt,
  pendingOf,
  replacement,
} from './core/planner.ts'
import type { Clock, JobEngine, RunStore } from './core/ports.ts'
import { isOpen, iso, revive } from './core/run-state.ts'
import type { RunTable } from './core/run-table.ts'
import { resumeProblem, runProblem, stopProblem, withStream } from './core/streaming.ts'
import { vectorSize } from './core/vector.ts'
import { driveRun } from './drive-run.ts'
import { createRunWriter } from './run-writer.ts'

export type JobLoopDeps = {
  readonly job: JobDefinition
  readonly engine: JobEngine
  readonly table: RunTable
  readonly store: Pick<RunStore, 'putRun' | 'dropRun'>
  readonly versions: () => ReadonlyMap<string, StreamVersions>
  readonly clock: Clock
  readonly jitter: () => number
  /** Ended runs of a job that are kept in `mesh.runs`. */
  readonly keepRuns: number
  readonly entered: (run: Run) => void
  readonly onFatal: (error: unknown) => void
}

/** One job: plans runs when they are due and takes them to their ends, at most `concurrency` at a time. */
export type JobLoop = {
  readonly job: JobDefinition
  /** A commit event moved one of the positions that the job reads. */
  arrived(): void
  /** Versions changed. */
  wake(): void
  request(full: boolean): Promise<Run>
  retry(run: Run): Promise<Run>
  /** Asks the run that streams to end with a savepoint. Written down on return, whatever the engine is busy with. */
  stopStream(): Promise<Run>
  /** Goes on from the savepoint of the run that was stopped, or from the one that is named. */
  resumeStream(from: string | null): Promise<Run>
  view(): Omit<JobView, 'file' | 'error'>
  /** Resolves when nothing of this loop writes any more. Runs stay as they are. */
  stop(): Promise<void>
}

export function startJobLoop(deps: JobLoopDeps): JobLoop {
  const { job, table, clock } = deps
  const writer = createRunWriter({ ...deps, job: job.name })
  const stopping = new AbortController()
  const since = clock.now()
  /** By run id; a run that took another's place has an entry beside it. */
  const driving = new Map<string, Promise<void>>()
  let busy = 0
  const requests: { full: boolean; at: string; done: PromiseWithResolvers<Run> }[] = []
  let activity: Activity | null = null
  let nap = new AbortController()

  function moment(): Moment {
    const [request] = requests
    return {
      job,
      positions: table.positions,
      versions: deps.versions(),
      latest: latest(),
      activity,
      request: request ? { full: request.full, at: request.at } : null,
      since,
      now: clock.now(),
    }
  }

  function launch(run: Run): void {
    busy++
    const driven: Promise<void> = driveRun(
      {
        job,
        engine: deps.engine,
        clock,
        jitter: deps.jitter,
        save: writer.save,
        replace(waiting) {
          const other = replacement(moment(), waiting)
          if (other === null) return null
          driving.set(other.id, driven)
          // What came meanwhile is part of it: the quiet period begins anew.
          activity = null
          return other
        },
        wantsStop(current) {
          const asked = writer.takeStop(current.id)
          if (asked) return asked
          const moved = movedStreams(moment()).length > 0
          return moved && current.attempt > 0 ? { at: iso(clock.now()), reason: 'cutover' } : null
        },
        signal: stopping.signal,
      },
      run,
    )
      .catch(broken)
      .finally(() => {
        for (const [id, work] of driving) if (work === driven) driving.delete(id)
        busy--
        wake()
      })
    driving.set(run.id, driven)
  }

  /** What was to be written may be there or not: nothing later is written by this process. */
  function broken(error: unknown): void {
    stopping.abort()
    deps.onFatal(error)
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      nap = new AbortController()
      if (busy >= job.concurrency) {
        await sleep(null)
        continue
      }
      // Found open at the start, or asked for again by hand.
      const undriven = table.of(job.name).find((run) => isOpen(run) && !driving.has(run.id))
      if (undriven) {
        launch(undriven)
        continue
      }
      activity ??= hasPending(moment()) ? noteActivity(null, clock.now()) : null
      const decision = job.streaming ? decideStream(moment()) : decide(moment())
      if (decision.kind === 'wait') {
        await sleep(decision.until)
        continue
      }
      activity = null
      const request = decision.run.trigger === 'manual' ? requests.shift() : undefined
      await writer.save(decision.run)
      request?.done.resolve(decision.run)
      launch(decision.run)
    }
  }

  /** Until the instant, a wake or the stop. */
  async function sleep(until: number | null): Promise<void> {
    const signal = AbortSignal.any([nap.signal, stopping.signal])
    await clock.wait(until === null ? FOREVER_MS : Math.max(0, until - clock.now()), signal)
  }

  function wake(): void {
    nap.abort()
  }

  const latest = (): Run | null => table.of(job.name).at(-1) ?? null

  const resumed = (from: string | null): Promise<Run> =>
    asked(() => {
      const run = latest()
      refuse(resumeProblem(run, from, movedStreams(moment()).length > 0))
      return withStream(revive(run!, run!.asOf, clock.now()), {
        recoverFrom: from ?? run!.streaming!.recoverFrom,
        stop: null,
        engineState: null,
        changed: false,
      })
    })

  /** Writes what a person wants of a run. */
  async function asked(change: () => Run): Promise<Run> {
    const run = await writer.write(() => {
      if (stopping.signal.aborted) throw standby()
      return change()
    })
    wake()
    return run
  }

  function refuse(problem: string | null): void {
    if (problem !== null) throw new MeshError('MESH_JOB_STREAMING', `${job.name}: ${problem}`)
  }

  const running = loop().catch(broken)

  return {
    job,
    wake,
    arrived() {
      activity = noteActivity(activity, clock.now())
      wake()
    },
    async request(full) {
      refuse(job.streaming ? runProblem(latest(), full) : null)
      const done = Promise.withResolvers<Run>()
      requests.push({ full, at: iso(clock.now()), done })
      wake()
      return done.promise
    },
    async retry(run) {
      if (run.streaming !== undefined && run.id === latest()?.id) return resumed(null)
      return asked(() => {
        const found = table.get(run.id) ?? run
        if (found.state !== 'dead') throw new MeshError('MESH_JOB_NOT_DEAD', `run ${found.id} is ${found.state}`)
        return revive(found, latest()?.asOf ?? found.asOf, clock.now())
      })
    },
    stopStream: () =>
      asked(() => {
        const run = latest()
        refuse(stopProblem(run))
        return run!.streaming!.stop ? run! : writer.withStop(run!, { at: iso(clock.now()), reason: 'asked' })
      }),
    resumeStream: resumed,
    view() {
      const runs = table.of(job.name)
      const next = nextScheduleAt(moment())
      return {
        name: job.name,
        engine: job.engine,
        inputs: job.inputs,
        schedule: job.schedule?.cron ?? null,
        nextScheduleAt: next === null ? null : iso(next),
        open: runs.filter(isOpen),
        last: runs.findLast((run) => !isOpen(run) && run.state !== 'superseded') ?? null,
        dead: runs.filter(({ state }) => state === 'dead').map(({ id }) => id),
        // What comes while a run streams is read by it.
        pendingOffsets: latest()?.streaming ? 0 : vectorSize(pendingOf(moment(), 'live')),
      }
    },
    async stop() {
      stopping.abort()
      for (const { done } of requests.splice(0)) {
        done.promise.catch(() => {})
        done.reject(standby())
      }
      await running
      await Promise.all(driving.values())
      await writer.settled()
    },
  }
}

const standby = (): MeshError => new MeshError('MESH_JOB_STANDBY', 'this job-trigger is stopping')

/** The longest that a timer of Node takes. */
const FOREVER_MS = 2_147_483_647
