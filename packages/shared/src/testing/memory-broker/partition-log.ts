import type { KafkaRecord, RecordToSend } from '../../core/record.ts'
import { BrokerError } from './broker-error.ts'

/** What a batch of an idempotent producer carries. */
export type BatchStamp = {
  readonly producerId: number
  readonly epoch: number
  readonly firstSequence: number
  readonly transactional: boolean
}

export type LogEntry = {
  readonly offset: number
  /** Null for a control record, which owns an offset too. */
  readonly record: KafkaRecord | null
  readonly producerId: number | null
  readonly control: 'commit' | 'abort' | null
  aborted: boolean
}

export type PartitionLog = {
  readonly logStart: () => number
  readonly end: () => number
  /** Below it every transaction has ended. */
  readonly lastStable: () => number
  /** Offset of the first record; that of the first time when the batch is a repetition. */
  append(records: readonly RecordToSend[], stamp: BatchStamp | null): number
  /** Writes the marker that ends a producer's transaction here. */
  mark(producerId: number, epoch: number, control: 'commit' | 'abort'): void
  /** Read_committed: up to `most` offsets from `from`, below the last stable offset. */
  read(from: number, most: number): { readonly nextOffset: number; readonly records: KafkaRecord[] }
  readonly entries: () => readonly LogEntry[]
  /** Time of the first offset of the oldest open transaction, null without one. */
  readonly openSince: () => number | null
  trim(before: number): void
}

type Producer = { epoch: number; nextSequence: number; recent: { first: number; last: number; base: number }[] }

/** How many batches per producer a partition remembers to tell a repetition. */
const REMEMBERED = 5

/** One partition by Kafka's rules: sequence numbers, markers, last stable offset. Retention is `trim`. */
export function createPartitionLog(now: () => number): PartitionLog {
  const entries: LogEntry[] = []
  const producers = new Map<number, Producer>()
  /** Open transactions: producer id → its first offset here and when it was written. */
  const open = new Map<number, { offset: number; at: number }>()
  let logStart = 0
  let end = 0

  function append(records: readonly RecordToSend[], stamp: BatchStamp | null): number {
    const repeated = stamp && sequence(stamp, records.length, end)
    if (repeated !== null) return repeated
    const base = end
    if (stamp?.transactional && !open.has(stamp.producerId)) open.set(stamp.producerId, { offset: base, at: now() })
    for (const { key, value, headers, timestamp } of records) {
      const offset = end++
      const record = { offset, timestamp: timestamp ?? now(), key, value, headers }
      const producerId = stamp?.transactional ? stamp.producerId : null
      entries.push({ offset, record, producerId, control: null, aborted: false })
    }
    return base
  }

  /** Null when the batch is next in line, its first offset when it has been appended before. */
  function sequence({ producerId, epoch, firstSequence }: BatchStamp, count: number, base: number): number | null {
    let own = producers.get(producerId)
    if (own && epoch < own.epoch) throw new BrokerError('INVALID_PRODUCER_EPOCH')
    // A partition that knows nothing of a producer takes any first sequence; a new epoch of a known one begins at 0.
    own ??= { epoch, nextSequence: firstSequence, recent: [] }
    if (epoch > own.epoch) own = { epoch, nextSequence: 0, recent: [] }
    const last = firstSequence + count - 1
    const repeated = own.recent.find((batch) => batch.first === firstSequence && batch.last === last)
    if (repeated) return repeated.base
    if (firstSequence !== own.nextSequence) throw new BrokerError('OUT_OF_ORDER_SEQUENCE_NUMBER')
    own.recent.push({ first: firstSequence, last, base })
    if (own.recent.length > REMEMBERED) own.recent.shift()
    own.nextSequence = last + 1
    producers.set(producerId, own)
    return null
  }

  function mark(producerId: number, epoch: number, control: 'commit' | 'abort'): void {
    const first = open.get(producerId)?.offset
    if (first !== undefined && control === 'abort') {
      for (const entry of entries.slice(indexOf(first))) if (entry.producerId === producerId) entry.aborted = true
    }
    open.delete(producerId)
    const own = producers.get(producerId)
    // A marker of a newer epoch fences the former one here.
    if (own && epoch > own.epoch) producers.set(producerId, { epoch, nextSequence: 0, recent: [] })
    entries.push({ offset: end++, record: null, producerId, control, aborted: false })
  }

  function lastStable(): number {
    return Math.min(end, ...[...open.values()].map(({ offset }) => offset))
  }

  /** Index of the first entry at or behind an offset. */
  function indexOf(offset: number): number {
    return Math.min(entries.length, Math.max(0, offset - (entries[0]?.offset ?? 0)))
  }

  return {
    append,
    mark,
    lastStable,
    logStart: () => logStart,
    end: () => end,
    entries: () => entries,
    openSince: () => [...open.values()].reduce<number | null>((least, { at }) => Math.min(least ?? at, at), null),
    read(from, most) {
      const stable = lastStable()
      const records: KafkaRecord[] = []
      let nextOffset = from
      for (let i = indexOf(from); i < entries.length && nextOffset - from < most; i++) {
        const { offset, record, aborted } = entries[i]!
        if (offset >= stable) break
        if (record && !aborted) records.push(record)
        nextOffset = offset + 1
      }
      return { nextOffset, records }
    },
    trim(before) {
      entries.splice(0, indexOf(before))
      logStart = before
    },
  }
}
