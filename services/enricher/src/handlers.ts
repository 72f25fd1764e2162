import type { Coordinate } from '@mesh/shared/core/coordinate'
import type { RecordBatch } from '@mesh/shared/core/record'
import { type RetryPolicy, retryDelayMs } from '@mesh/shared/core/retry-policy'
import type { PartitionHandler, Progress } from '@mesh/shared/kafka/port'
import type { Source } from './core/arrival.ts'
import { type CommitPace, createCommitPace } from './core/commit-pace.ts'
import { rawSources, replayedSources } from './core/replayed.ts'
import type { Stall } from './core/stall.ts'
import type { PartitionWorker } from './partition-worker.ts'

export type HandlerPace = {
  readonly commitIntervalMs: number
  /** How often due commits, parked records and a finished replay are looked for. */
  readonly tickMs: number
  /** Monotonic, ms. */
  readonly now: () => number
  /** In [0, 1). */
  readonly random: () => number
}

/** The last outputs of a burst wait for a tick: it must not come much later than their transaction is due. */
const MIN_TICK_MS = 10

export function transactionPace(pace: HandlerPace, intervalMs: number): HandlerPace {
  const often = Math.max(MIN_TICK_MS, intervalMs)
  return { ...pace, commitIntervalMs: intervalMs, tickMs: Math.min(pace.tickMs, often) }
}

/** How a handler holds its partition back while the worker cannot go on. */
export type Flow = {
  pause(): void
  resume(): void
  /** Null: it flows again. */
  stalled(stall: Stall | null): void
}

/** The books of a partition change topic once: from the replay topic, read to its end, to raw. */
export type HandOver = {
  /** The worker that has finished the replay topic and committed it; null before. */
  take(): PartitionWorker | null
  give(worker: PartitionWorker): void
  /** Lets the raw partition flow. */
  open(): void
}

/** A tripped breaker is tried again after seconds, then more rarely. */
const BREAKER_RETRY: RetryPolicy = { initialMs: 1000, maxMs: 60_000, factor: 2, retries: Number.POSITIVE_INFINITY }

/** What no commit and no release can end: time, or a person. */
const isRare = (stall: Stall): boolean => stall.kind === 'breaker' || stall.kind === 'stopped'

type Intake = {
  readonly worker: PartitionWorker
  readonly commits: CommitPace
  readonly pace: HandlerPace
  readonly flow: Flow
  /** Where the topic is read from. */
  readonly position: number
}

/** Feeds a worker and holds the partition back while it stalls. `broken`: a call threw, and nothing may be committed any more. */
function createIntake({ worker, commits, pace, flow, position }: Intake) {
  let broken = false
  let stall: Stall | null = null
  let tries = 0
  let nextTryMs = 0
  /** Where the topic stands once everything taken in is decided. */
  let target = position
  let moved = position
  /** Of the topic that the worker read before this one: an offset there says nothing here. */
  const former = worker.position()

  async function run(sources: Iterable<Source>, end?: number): Promise<void> {
    broken = true
    const next = await worker.run(sources, end)
    broken = false
    hold(next)
    const reached = next === null ? target : decided()
    if (reached > moved) commits.moved((moved = reached))
  }

  function decided(): number {
    const at = worker.position()
    return at === null || at === former ? moved : at
  }

  function hold(next: Stall | null): void {
    if (stall !== null && next === null) flow.resume()
    else if (next !== null && stall === null) flow.pause()
    if ((stall?.kind ?? null) !== (next?.kind ?? null)) flow.stalled(next?.kind === 'transaction-full' ? null : next)
    tries = next === null ? 0 : tries + 1
    stall = next
    if (next !== null && isRare(next)) nextTryMs = pace.now() + retryDelayMs(BREAKER_RETRY, tries, pace.random())!
  }

  return {
    broken: () => broken,
    stalled: () => stall !== null,
    /** Where the topic is decided up to. */
    moved: () => moved,
    take(sources: Iterable<Source>, upTo: number, end?: number): Promise<void> {
      target = upTo
      return run(sources, end)
    },
    /** Goes on with what is held, and with what is parked. True when it must be committed at once. */
    async goOn(): Promise<boolean> {
      if (stall !== null && isRare(stall) && pace.now() < nextTryMs) return false
      broken = true
      const { moved: released, stopped } = await worker.release()
      broken = false
      if (released) commits.moved(moved)
      if (stopped !== null) hold({ kind: 'stopped', reason: stopped })
      else if (stall !== null) await run([])
      return released || stall?.kind === 'transaction-full'
    },
    full: () => stall?.kind === 'transaction-full',
  }
}

/** Reads raw with a worker that holds the books. */
export function createRawHandler(
  worker: PartitionWorker,
  pace: HandlerPace,
  { flow, position }: { flow: Flow; position: number },
): PartitionHandler {
  const commits = createCommitPace(pace.commitIntervalMs)
  const intake = createIntake({ worker, commits, pace, flow, position })

  async function progress(force = false): Promise<Progress | null> {
    const due = intake.broken() ? null : commits.due(pace.now(), force)
    return due === null ? null : worker.checkpoint(due)
  }

  return {
    async process(batch) {
      await intake.take(rawSources(batch), batch.nextOffset, batch.nextOffset)
      return progress(intake.full())
    },
    tick: async () => progress(await intake.goOn()),
    committed: () => worker.announce(),
    close: async () => progress(true),
  }
}

/**
 * Raw before the replay topic is finished: assigned paused. Once the replay side has committed its end, the books are committed on
 * raw at the changeover and the partition is let go; from that commit on raw carries them.
 */
export function createWaitingRawHandler(
  changeover: number,
  pace: HandlerPace,
  { handOver, flow }: { handOver: HandOver; flow: Flow },
): PartitionHandler {
  let raw: PartitionHandler | null = null
  let opening = false
  return {
    async process(batch) {
      if (raw === null) throw new Error('raw was read before the replay topic handed over')
      return raw.process(batch)
    },
    async tick() {
      // What is parked waits for the commit that lets raw carry the books.
      if (opening) return null
      if (raw !== null) return raw.tick!()
      const worker = handOver.take()
      if (worker === null) return null
      await worker.run([], changeover)
      raw = createRawHandler(worker, pace, { flow, position: changeover })
      opening = true
      return worker.checkpoint(changeover)
    },
    async committed(progress) {
      await raw?.committed!(progress)
      if (opening) handOver.open()
      opening = false
    },
    close: async (reason) => (opening ? null : (raw?.close!(reason) ?? null)),
  }
}

export type ReplayEnd = {
  /** End of the replay partition; null while the replayer is still writing. */
  readonly end: number | null
  /** Next offset to read as the consumer knows it: it also moves over offsets that hold no record. */
  readonly position: () => number
}

/** Reads a replay topic to its end, then hands its worker over. */
export function createReplayHandler(
  worker: PartitionWorker,
  of: Pick<Coordinate, 'topicId' | 'partition'>,
  {
    pace,
    replay,
    handOver,
    ...from
  }: { pace: HandlerPace; replay: ReplayEnd; handOver: HandOver; flow: Flow; position: number },
): PartitionHandler {
  const commits = createCommitPace(pace.commitIntervalMs)
  const intake = createIntake({ worker, commits, pace, ...from })
  const end = replay.end ?? Number.POSITIVE_INFINITY
  let state: 'reading' | 'ending' | 'done' = 'reading'

  async function progress(force = false): Promise<Progress | null> {
    if (intake.broken() || state === 'done') return null
    const due = commits.due(pace.now(), force || state === 'ending')
    return due === null ? null : worker.checkpoint(due)
  }

  function lookForEnd(): void {
    if (state === 'reading' && !intake.stalled() && intake.moved() >= end) state = 'ending'
  }

  return {
    async process(batch: RecordBatch) {
      // What lies beyond the announced end is raw's to decide.
      if (state !== 'reading') return null
      await intake.take(replayedSources(batch, end, of), Math.min(batch.nextOffset, end))
      lookForEnd()
      return progress(intake.full())
    },
    async tick() {
      if (state !== 'reading') return progress()
      const force = await intake.goOn()
      if (!intake.stalled() && replay.position() >= end) await intake.take([], end)
      lookForEnd()
      return progress(force)
    },
    async committed() {
      await worker.announce()
      if (state !== 'ending') return
      state = 'done'
      handOver.give(worker)
    },
    close: async () => progress(true),
  }
}

/** A partition with nothing left to read in this topic. */
export const IDLE_HANDLER: PartitionHandler = { process: async () => null }
