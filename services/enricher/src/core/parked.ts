import type { KafkaRecord } from '@mesh/shared/core/record'
import { type RetryPolicy, retryDelayMs } from '@mesh/shared/core/retry-policy'
import { createDueQueue } from './due-queue.ts'

/** What is held in memory of a parked record; its bytes lie on `mesh.state`. */
export type ParkedRecord = {
  readonly offset: number
  /** Where its state record lies; null until the write of it is known. */
  stateOffset: number | null
  /** Epoch ms. Deadlines count from here, also for a record that waits behind another. */
  readonly parkedAtMs: number
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
  /** Puts a record behind those of its key. `wait` is that of a new head. */
  park(unit: string, record: ParkedRecord, wait: Wait | null): void
  /** Takes the last record of a key back: its fate was not booked. */
  unpark(unit: string): void
  /** A row arrived: who waits for it is due at once. */
  wake(awaited: string): void
  /** Keys that are due, longest overdue first; they stay due until their head is released or tried. */
  due(nowMs: number, most: number): string[]
  /** The records of a key in order. */
  queue(unit: string): readonly ParkedRecord[]
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

type ParkedKey = { queue: ParkedRecord[]; attempts: number; dueMs: number; awaits: readonly string[] }

const NO_ROWS: readonly string[] = []

export function createParkedIndex(): ParkedIndex {
  const keys = new Map<string, ParkedKey>()
  // Nearly always one key waits for a row, and a set of one takes some hundred bytes.
  const waiting = new Map<string, string | Set<string>>()
  const times = createDueQueue()
  let size = 0

  function dueAt(unit: string, key: ParkedKey, dueMs: number): void {
    key.dueMs = dueMs
    times.add(dueMs, unit)
  }

  function listen(unit: string, key: ParkedKey, { dueMs, awaits }: Wait): void {
    forget(unit, key)
    dueAt(unit, key, dueMs)
    key.awaits = awaits
    for (const awaited of awaits) {
      const units = waiting.get(awaited)
      if (units === undefined) waiting.set(awaited, unit)
      else if (typeof units !== 'string') units.add(unit)
      else if (units !== unit) waiting.set(awaited, new Set([units, unit]))
    }
  }

  function forget(unit: string, key: ParkedKey): void {
    for (const awaited of key.awaits) {
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
  }

  return {
    has: (unit) => keys.has(unit),
    size: () => size,
    park(unit, record, wait) {
      size++
      const known = keys.get(unit)
      if (known !== undefined) return void known.queue.push(record)
      // As a list of one: the first push onto an empty one makes room for seventeen.
      const key: ParkedKey = { queue: [record], attempts: 0, dueMs: record.parkedAtMs, awaits: NO_ROWS }
      keys.set(unit, key)
      // A head without a wait was parked by an earlier run: what it waits for is found out by trying.
      if (wait === null) return dueAt(unit, key, record.parkedAtMs)
      key.attempts = 1
      listen(unit, key, wait)
    },
    unpark(unit) {
      const key = keys.get(unit)!
      key.queue.pop()
      size--
      if (key.queue.length === 0) drop(unit, key)
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
    queue: (unit) => keys.get(unit)?.queue ?? [],
    attempts: (unit) => keys.get(unit)?.attempts ?? 0,
    release(unit) {
      const key = keys.get(unit)!
      key.queue.shift()
      size--
      if (key.queue.length === 0) return drop(unit, key)
      forget(unit, key)
      key.attempts = 0
      dueAt(unit, key, Number.NEGATIVE_INFINITY)
    },
    retry(unit, wait) {
      const key = keys.get(unit)!
      key.attempts++
      listen(unit, key, wait)
    },
    stateFrom(end) {
      let from = end
      for (const { queue } of keys.values()) {
        for (const { stateOffset } of queue) from = Math.min(from, stateOffset ?? end)
      }
      return from
    },
    rawFrom() {
      if (size === 0) return null
      let from = Number.MAX_SAFE_INTEGER
      for (const { queue } of keys.values()) from = Math.min(from, queue[0]!.offset)
      return from
    },
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
