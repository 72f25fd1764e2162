import type { KafkaRecord } from '@mesh/shared/core/record'
import { type RetryPolicy, retryDelayMs } from '@mesh/shared/core/retry-policy'
import { createDueQueue } from './due-queue.ts'
import { createMinHeap, type MinHeap } from './min-heap.ts'

/** What is held in memory of a parked record; its bytes lie on `mesh.state`. */
export type ParkedRecord = {
  readonly offset: number
  /** Where its state record lies; null until the write of it is known. The index is told (`placed`). */
  stateOffset: number | null
  /** Epoch ms. Deadlines count from here, also for a record that waits behind another. */
  readonly parkedAtMs: number
  /** It waits no more. */
  left?: boolean
}

/** When a key is tried next, and what may bring that forward. */
export type Wait = { readonly dueMs: number; readonly awaits: readonly string[] }

/**
 * The parked records of one raw partition by key, in source order per key. Only the head of a key is ever tried: what comes behind
 * follows it. Pure: clock and jitter are arguments.
 */
export type ParkedIndex = {
  has(unit: string): boolean
  size(): number
  /** Memory that it takes, counted rather too high. */
  bytes(): number
  /** Puts a record behind those of its key. `wait` is that of a new head. */
  park(unit: string, record: ParkedRecord, wait: Wait | null): void
  /** Takes the last record of a key back: its fate was not booked. */
  unpark(unit: string): void
  /** A row arrived: who waits for it is due at once. */
  wake(awaited: string): void
  /** Keys that are due, longest overdue first; they stay due until their head is released or tried. */
  due(nowMs: number, most: number): string[]
  /** The first records of a key in order, below a raw offset and at most so many. */
  first(unit: string, range: { readonly below: number; readonly most: number }): ParkedRecord[]
  /** Where the state record of a parked record lies. */
  placed(record: ParkedRecord, stateOffset: number): void
  /** Tries of the head so far. */
  attempts(unit: string): number
  /** The head has got a fate; the next of its key is due at once. */
  release(unit: string): void
  /** The head was tried and waits on. */
  retry(unit: string, wait: Wait): void
  /** Lowest state offset of what is parked; `end` where one is not known yet or nothing is parked. */
  stateFrom(end: number): number
  /** Lowest raw offset that is parked; null = nothing is. */
  rawFrom(): number | null
}

/** `queue` from `head` on: taking the first of a long list away would move all that follow. */
type ParkedKey = { queue: ParkedRecord[]; head: number; attempts: number; dueMs: number; awaits: readonly string[] }

const NO_ROWS: readonly string[] = []
const NO_RECORDS: Pick<ParkedKey, 'queue' | 'head'> = { queue: [], head: 0 }
/** What a record takes, and what a key takes besides its text and those of the rows that it waits for: maps, heaps, their slack. */
const RECORD_BYTES = 160
const KEY_BYTES = 600
/** Below it a list is not worth the copy. */
const MIN_COMPACT = 64

export function createParkedIndex(): ParkedIndex {
  const keys = new Map<string, ParkedKey>()
  // Nearly always one key waits for a row, and a set of one takes some hundred bytes.
  const waiting = new Map<string, string | Set<string>>()
  const times = createDueQueue()
  // Which is the lowest is asked at every commit, so it must not take a look at all of them.
  const byOffset = createMinHeap<ParkedRecord>((a, b) => a.offset < b.offset)
  const byState = createMinHeap<ParkedRecord>((a, b) => a.stateOffset! < b.stateOffset!)
  let size = 0
  let keyBytes = 0

  /** The lowest that still waits. What has left goes when it is met, or once it is the most of what is held. */
  function lowest(heap: MinHeap<ParkedRecord>): ParkedRecord | null {
    if (heap.size() > 2 * size + MIN_COMPACT) heap.retain((record) => record.left !== true)
    while (heap.top()?.left === true) heap.pop()
    return heap.top() ?? null
  }

  function leave(record: ParkedRecord): void {
    record.left = true
    size--
  }

  function dueAt(unit: string, key: ParkedKey, dueMs: number): void {
    key.dueMs = dueMs
    times.add(dueMs, unit)
  }

  function listen(unit: string, key: ParkedKey, { dueMs, awaits }: Wait): void {
    forget(unit, key)
    dueAt(unit, key, dueMs)
    key.awaits = awaits
    for (const awaited of awaits) {
      keyBytes += awaited.length
      const units = waiting.get(awaited)
      if (units === undefined) waiting.set(awaited, unit)
      else if (typeof units !== 'string') units.add(unit)
      else if (units !== unit) waiting.set(awaited, new Set([units, unit]))
    }
  }

  function forget(unit: string, key: ParkedKey): void {
    for (const awaited of key.awaits) {
      keyBytes -= awaited.length
      const units = waiting.get(awaited)
      if (units === unit) waiting.delete(awaited)
      if (typeof units !== 'object') continue
      units.delete(unit)
      if (units.size === 0) waiting.delete(awaited)
    }
    key.awaits = NO_ROWS
  }

  function drop(unit: string, key: ParkedKey): void {
    forget(unit, key)
    keys.delete(unit)
    keyBytes -= KEY_BYTES + unit.length
  }

  return {
    has: (unit) => keys.has(unit),
    size: () => size,
    bytes: () => size * RECORD_BYTES + keyBytes,
    park(unit, record, wait) {
      size++
      byOffset.push(record)
      if (record.stateOffset !== null) byState.push(record)
      const known = keys.get(unit)
      if (known !== undefined) return void known.queue.push(record)
      // As a list of one: the first push onto an empty one makes room for seventeen.
      const key: ParkedKey = { queue: [record], head: 0, attempts: 0, dueMs: record.parkedAtMs, awaits: NO_ROWS }
      keys.set(unit, key)
      keyBytes += KEY_BYTES + unit.length
      // A head without a wait was parked by an earlier run: what it waits for is found out by trying.
      if (wait === null) return dueAt(unit, key, record.parkedAtMs)
      key.attempts = 1
      listen(unit, key, wait)
    },
    unpark(unit) {
      const key = keys.get(unit)!
      leave(key.queue.pop()!)
      if (key.queue.length === key.head) drop(unit, key)
    },
    wake(awaited) {
      const units = waiting.get(awaited) ?? []
      for (const unit of typeof units === 'string' ? [units] : units) {
        dueAt(unit, keys.get(unit)!, Number.NEGATIVE_INFINITY)
      }
    },
    due(nowMs, most) {
      return times.due(nowMs, most, (unit, dueMs) => keys.get(unit)?.dueMs === dueMs)
    },
    first(unit, { below, most }) {
      const found: ParkedRecord[] = []
      const { queue, head } = keys.get(unit) ?? NO_RECORDS
      for (let at = head; at < queue.length && found.length < most && queue[at]!.offset < below; at++) {
        found.push(queue[at]!)
      }
      return found
    },
    placed(record, stateOffset) {
      record.stateOffset = stateOffset
      if (record.left !== true) byState.push(record)
    },
    attempts: (unit) => keys.get(unit)?.attempts ?? 0,
    release(unit) {
      const key = keys.get(unit)!
      leave(key.queue[key.head++]!)
      if (key.head === key.queue.length) return drop(unit, key)
      // Half of it at a time, so that every record is moved about once.
      if (key.head >= MIN_COMPACT && key.head * 2 > key.queue.length) {
        key.queue = key.queue.slice(key.head)
        key.head = 0
      }
      forget(unit, key)
      key.attempts = 0
      dueAt(unit, key, Number.NEGATIVE_INFINITY)
    },
    retry(unit, wait) {
      const key = keys.get(unit)!
      key.attempts++
      listen(unit, key, wait)
    },
    stateFrom: (end) => Math.min(end, lowest(byState)?.stateOffset ?? end),
    rawFrom: () => lowest(byOffset)?.offset ?? null,
  }
}

/** What order holds among: records of one key. A record without a key has no order with others. */
export function orderUnit(key: KafkaRecord['key'], offset: number): string {
  if (key === null) return `#${offset}`
  return `=${Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')}`
}

/** @param jitter in [0, 1). @param deadlineMs epoch ms at which the wait ends in any case; null = never. */
export function nextTry(
  policy: RetryPolicy,
  { attempt, nowMs, deadlineMs, jitter }: { attempt: number; nowMs: number; deadlineMs: number | null; jitter: number },
): number {
  const due = nowMs + (retryDelayMs(policy, attempt, jitter) ?? policy.maxMs)
  return deadlineMs === null ? due : Math.min(due, deadlineMs)
}
