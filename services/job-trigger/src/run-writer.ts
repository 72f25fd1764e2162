import type { Run } from '@mesh/shared/core/runs'
import type { RunStore } from './core/ports.ts'
import { isOpen } from './core/run-state.ts'
import { forgettable, type RunTable } from './core/run-table.ts'
import { type StreamStop, withStream } from './core/streaming.ts'

/**
 * Writes the runs of one job, one record after another. A run under way is its driver's, which may wait for its engine for minutes; what
 * a person asks meanwhile is written beside it, and is part of whatever the driver writes next.
 */
export type RunWriter = {
  /** Writes what `next` makes of the table as it is by then; a throw of it writes nothing. Durable on return. */
  readonly write: (next: () => Run) => Promise<Run>
  /** A driver's record, with the stop that was asked for in the meantime. */
  readonly save: (run: Run) => Promise<void>
  /** Within `write`: the run with a stop on it, kept for its driver as well. */
  readonly withStop: (run: Run, stop: StreamStop) => Run
  /** What the driver has not been told yet; from then on it is in the driver's own records. */
  readonly takeStop: (run: string) => StreamStop | null
  /** Resolves when nothing is being written. */
  readonly settled: () => Promise<void>
}

export function createRunWriter(deps: {
  readonly job: string
  readonly table: RunTable
  readonly store: Pick<RunStore, 'putRun' | 'dropRun'>
  readonly keepRuns: number
  readonly entered: (run: Run) => void
}): RunWriter {
  const { table, store } = deps
  const stops = new Map<string, StreamStop>()
  let tail: Promise<unknown> = Promise.resolve()

  function write(next: () => Run): Promise<Run> {
    const written = tail.then(async () => {
      const run = next()
      if (run === table.get(run.id)) return run
      await store.putRun(run)
      table.set(run)
      deps.entered(run)
      if (isOpen(run)) return run
      for (const { id } of forgettable(table.of(deps.job), deps.keepRuns)) {
        await store.dropRun(id)
        table.delete(id)
      }
      return run
    })
    tail = written.catch(() => {})
    return written
  }

  function merged(run: Run): Run {
    const stop = stops.get(run.id)
    if (stop === undefined) return run
    if (isOpen(run)) return withStream(run, { stop })
    stops.delete(run.id)
    // The run that takes its place is to be stopped instead.
    if (run.state === 'superseded') stops.set(table.of(deps.job).at(-1)!.id, stop)
    return run
  }

  return {
    write,
    save: async (run) => void (await write(() => merged(run))),
    withStop(run, stop) {
      stops.set(run.id, stop)
      return withStream(run, { stop })
    },
    takeStop(run) {
      const stop = stops.get(run) ?? null
      stops.delete(run)
      return stop
    },
    settled: async () => void (await tail),
  }
}
