import type { Coordinate } from '@mesh/shared/core/coordinate'
import type { RecordBatch } from '@mesh/shared/core/record'
import type { PartitionHandler, Progress } from '@mesh/shared/kafka/port'
import { createCommitPace } from './core/commit-pace.ts'
import { rawSources, replayedSources } from './core/replayed.ts'
import type { PartitionWorker } from './partition-worker.ts'

export type HandlerPace = {
  readonly commitIntervalMs: number
  /** How often due commits and a finished replay are looked for. */
  readonly tickMs: number
  /** Monotonic, ms. */
  readonly now: () => number
}

/** The books of a partition change topic once: from the replay topic, read to its end, to raw. */
export type HandOver = {
  /** The worker that has finished the replay topic and committed it; null before. */
  take(): PartitionWorker | null
  give(worker: PartitionWorker): void
  /** Lets the raw partition flow. */
  open(): void
}

/** Reads raw with a worker that holds the books. */
export function createRawHandler(worker: PartitionWorker, pace: HandlerPace): PartitionHandler {
  const commits = createCommitPace(pace.commitIntervalMs)
  let broken = false

  function progress(force = false): Progress | null {
    const position = broken ? null : commits.due(pace.now(), force)
    return position === null ? null : worker.checkpoint(position)
  }

  return {
    async process(batch) {
      broken = true
      await worker.run(rawSources(batch), batch.nextOffset)
      broken = false
      commits.moved(batch.nextOffset)
      return progress()
    },
    tick: async () => progress(),
    committed: () => worker.announce(),
    close: async () => progress(true),
  }
}

/**
 * Raw before the replay topic is finished: assigned paused. Once the replay side has committed its end, the books are committed on
 * raw at the changeover and the partition is let go; from that commit on raw carries them.
 */
export function createWaitingRawHandler(changeover: number, pace: HandlerPace, handOver: HandOver): PartitionHandler {
  let raw: PartitionHandler | null = null
  let opening = false
  return {
    async process(batch) {
      if (raw === null) throw new Error('raw was read before the replay topic handed over')
      return raw.process(batch)
    },
    async tick() {
      if (raw !== null) return raw.tick!()
      const worker = handOver.take()
      if (worker === null) return null
      await worker.run([], changeover)
      raw = createRawHandler(worker, pace)
      opening = true
      return worker.checkpoint(changeover)
    },
    async committed(progress) {
      await raw?.committed!(progress)
      if (opening) handOver.open()
      opening = false
    },
    close: async (reason) => raw?.close!(reason) ?? null,
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
  { pace, replay, handOver }: { pace: HandlerPace; replay: ReplayEnd; handOver: HandOver },
): PartitionHandler {
  const commits = createCommitPace(pace.commitIntervalMs)
  const end = replay.end ?? Number.POSITIVE_INFINITY
  let state: 'reading' | 'broken' | 'ending' | 'done' = 'reading'

  function progress(force = false): Progress | null {
    const position =
      state === 'broken' || state === 'done' ? null : commits.due(pace.now(), force || state === 'ending')
    return position === null ? null : worker.checkpoint(position)
  }

  function moved(position: number): void {
    commits.moved(Math.min(position, end))
    if (position >= end) state = 'ending'
  }

  return {
    async process(batch: RecordBatch) {
      // What lies beyond the announced end is raw's to decide.
      if (state !== 'reading') return null
      state = 'broken'
      await worker.run(replayedSources(batch, end, of))
      state = 'reading'
      moved(batch.nextOffset)
      return progress()
    },
    async tick() {
      if (state === 'reading' && replay.position() >= end) moved(end)
      return progress()
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
