import type { CommitEvent } from '@mesh/shared/core/books'
import { MeshError } from '@mesh/shared/core/errors'
import type { JobView, Run } from '@mesh/shared/core/runs'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { JobDefinition } from '@mesh/shared/schema/job-file'
import type { JobFile } from '@mesh/shared/schema/jobs-folder'
import type { JobHost } from './commits-partition.ts'
import type { Clock, Engines, JobEngine, RunStore } from './core/ports.ts'
import type { RunTable } from './core/run-table.ts'
import { type JobLoop, startJobLoop } from './job-loop.ts'

export type JobHostDeps = {
  readonly table: RunTable
  readonly store: RunStore
  readonly engines: Engines
  readonly versions: () => ReadonlyMap<string, StreamVersions>
  readonly files: () => readonly JobFile[]
  readonly clock: Clock
  readonly jitter: () => number
  readonly keepRuns: number
  readonly entered: (run: Run) => void
  readonly onFatal: (error: unknown) => void
}

export type Jobs = JobHost & {
  readonly table: RunTable
  /** Job files or versions changed. */
  reconcile(): Promise<void>
  loopOf(job: string): JobLoop | null
  views(): JobView[]
}

/** Starts, replaces and ends the loops of jobs as their files say. */
export function createJobs(deps: JobHostDeps): Jobs {
  const loops = new Map<string, { readonly text: string; readonly loop: JobLoop }>()
  let open = false
  let stopped = false
  let working: Promise<void> = Promise.resolve()

  async function bringUp(): Promise<void> {
    if (!open || stopped) return
    const wanted = new Map(deps.files().flatMap(({ name, job, text }) => (job ? [[name, { job, text }] as const] : [])))
    for (const [name, { text, loop }] of loops) {
      if (wanted.get(name)?.text === text) continue
      loops.delete(name)
      await loop.stop()
    }
    for (const [name, { job, text }] of wanted) {
      if (!loops.has(name) && !stopped) loops.set(name, { text, loop: start(job) })
    }
    for (const { loop } of loops.values()) loop.wake()
  }

  async function mend(): Promise<void> {
    for (const run of deps.table.mended) await deps.store.putRun(run)
    open = true
  }

  function start(job: JobDefinition): JobLoop {
    const { table, store, versions, clock, jitter, keepRuns, entered, onFatal } = deps
    const engine = deps.engines[job.engine] ?? missingEngine(job.engine)
    return startJobLoop({ job, engine, table, store, versions, clock, jitter, keepRuns, entered, onFatal })
  }

  function reconcile(): Promise<void> {
    working = working.then(bringUp).catch(deps.onFatal)
    return working
  }

  return {
    table: deps.table,
    reconcile,
    loopOf: (job) => loops.get(job)?.loop ?? null,
    arrived({ stream, layer }: CommitEvent) {
      for (const { loop } of loops.values()) {
        if (loop.job.inputs.some((input) => input.stream === stream && input.layer === layer)) loop.arrived()
      }
    },
    caughtUp() {
      working = working.then(mend).catch(deps.onFatal)
      void reconcile()
    },
    async stop() {
      stopped = true
      await working
      await Promise.all([...loops.values()].map(({ loop }) => loop.stop()))
      loops.clear()
    },
    views: () => deps.files().map((file) => viewOf(file, loops.get(file.name)?.loop ?? null)),
  }
}

export function viewOf({ name, file, job, error }: JobFile, loop: JobLoop | null): JobView {
  if (loop !== null) return { ...loop.view(), file, error: null }
  return {
    name,
    file,
    engine: job?.engine ?? null,
    error: error ? { code: error.code, message: error.message } : null,
    inputs: job?.inputs ?? [],
    schedule: job?.schedule?.cron ?? null,
    nextScheduleAt: null,
    open: [],
    last: null,
    dead: [],
    pendingOffsets: 0,
  }
}

/** An engine that this process does not have: its runs wait, visibly, until one comes up that has it. */
function missingEngine(name: string): JobEngine {
  const away = (): Promise<never> =>
    Promise.reject(new MeshError('MESH_JOB_ENGINE_AWAY', `this job-trigger has no engine ${name}`))
  return { submit: away, status: away, cancel: away, logs: async () => null, pollMs: 1000, close: async () => {} }
}
