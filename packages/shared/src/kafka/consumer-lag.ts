import type { KafkaAdmin, PartitionOffsets, TopicPartition } from './port.ts'

/** Where a group consumer of this process stands in one partition. */
export type ReadProgress = TopicPartition & {
  readonly position: number
  /** Kafka timestamp (ms) of the last record that was handed over, null before the first. */
  readonly timestamp: number | null
}

export type PartitionLag = TopicPartition & {
  readonly group: string
  readonly position: number
  readonly lastStableOffset: number
  /** lastStableOffset − position: a transaction that is open keeps nobody behind. */
  readonly lag: number
  /** How far behind in time: 0 without lag, else at most this; null while nothing has been read since the assignment. */
  readonly timeLagMs: number | null
  /** For how long a transaction has been seen open at the last stable offset; 0 when none is. At least this long. */
  readonly openTransactionMs: number
}

export type LagMeter = {
  /** Watches a consumer until the returned function is called. */
  track(group: string, progress: () => readonly ReadProgress[]): () => void
  /** Every partition that this process owns, as it is now. */
  measure(): Promise<readonly PartitionLag[]>
}

export function createLagMeter(admin: Pick<KafkaAdmin, 'offsets'>, now: () => number): LagMeter {
  const tracked = new Set<{ readonly group: string; readonly progress: () => readonly ReadProgress[] }>()
  /** Per `topic/partition` the last stable offset behind which something lay, and since when. */
  const open = new Map<string, { readonly at: number; readonly since: number }>()

  async function measure(): Promise<readonly PartitionLag[]> {
    const owned = [...tracked].flatMap(({ group, progress }) => progress().map((own) => ({ group, ...own })))
    const offsets = new Map<string, PartitionOffsets>()
    for (const topic of new Set(owned.map((own) => own.topic)))
      for (const found of await admin.offsets(topic)) offsets.set(`${topic}/${found.partition}`, found)
    return owned.flatMap((own) => {
      const found = offsets.get(`${own.topic}/${own.partition}`)
      return found ? [lagOf(own, found)] : []
    })
  }

  function lagOf({ timestamp, ...own }: ReadProgress & { group: string }, found: PartitionOffsets): PartitionLag {
    const { lastStableOffset } = found
    const lag = Math.max(0, lastStableOffset - own.position)
    const behindMs = timestamp === null ? null : Math.max(0, now() - timestamp)
    return {
      ...own,
      lastStableOffset,
      lag,
      timeLagMs: lag === 0 ? 0 : behindMs,
      openTransactionMs: openFor(`${own.topic}/${own.partition}`, found),
    }
  }

  /** The last stable offset stands still only while the transaction that begins there is open. */
  function openFor(place: string, { lastStableOffset, highWatermark }: PartitionOffsets): number {
    if (lastStableOffset >= highWatermark) {
      open.delete(place)
      return 0
    }
    const known = open.get(place)
    if (known?.at !== lastStableOffset) open.set(place, { at: lastStableOffset, since: now() })
    return now() - open.get(place)!.since
  }

  return {
    measure,
    track(group, progress) {
      const entry = { group, progress }
      tracked.add(entry)
      return () => void tracked.delete(entry)
    },
  }
}
