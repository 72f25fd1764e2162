import { describeError } from '@mesh/shared/core/errors'
import type { RecordToSend } from '@mesh/shared/core/record'
import { readArrival, type Source } from './core/arrival.ts'
import { type Books, bookRelease, MAX_SETTLED, SEQUENCE_BLOCK } from './core/books.ts'
import type { DeadLetterFrom } from './core/dead-letter.ts'
import { type Decidable, protectedFate } from './core/decide.ts'
import { giveUp, type Transient } from './core/joins.ts'
import { nextTry, orderUnit, type ParkedRecord } from './core/parked.ts'
import { parkedStateRecord, parkedTombstone } from './core/parked-state.ts'
import type { PublishedRelease } from './core/published-releases.ts'
import { totalBytes } from './core/refined-record.ts'
import { type Released, releaseStep, type Tombstone } from './core/release-step.ts'
import { noStateTopic, type StepWriter } from './step-writer.ts'
import type { PartitionState, WorkerContext } from './worker-context.ts'

/** The records of one raw partition that wait, and their way out through lane `parked`. */
export type ParkedLane = {
  /** True when the record has to follow those of its key that wait. */
  holds(source: Source): boolean
  /** True when an earlier run parked and released it: it is a fate of main, and nothing is left to do. */
  isReleased(offset: number): boolean
  /** No room for this record. What an earlier run decided before a later output has to be decided again before anything is released. */
  full(offset: number): boolean
  size(): number
  /** Parks a record; provisional until it is booked. */
  park(source: Source, transient: Transient | null): Parked
  unpark(parked: Parked): void
  booked(parked: Parked): void
  /** Its state record is written. */
  placed(record: ParkedRecord, stateOffset: number): void
  /** A record that an earlier run parked has another fate after all. */
  forgetState(source: Source): void
  wake(awaited: string): void
  /** Tries what is due. Only what a commit covers is released: its fate is final. */
  release(): Promise<Releasing>
  /** Books what an earlier run released, as far as the books reach. True when there was some. */
  bookPublished(refinedNext: number): boolean
  /** First of all: takes away what stands for nothing. */
  clean(): Promise<void>
  /** Before the metadata is written: what of the state topic it covers. */
  closeStep(): Promise<void>
  /** After the commit: what was released in it leaves the state topic. */
  committed(): Promise<void>
}

/** `state` is the state record to write, or null when an earlier run wrote it. */
export type Parked = { readonly unit: string; readonly record: ParkedRecord; readonly state: RecordToSend | null }

/** `moved`: there is something to commit. `stopped`: deciding threw, and why. */
export type Releasing = { readonly moved: boolean; readonly stopped: string | null }
const NOTHING: Releasing = { moved: false, stopped: null }

/** Most releases in one step where no metadata bounds them. */
const MAX_RELEASES = 1000
const NO_PUBLISHED: PublishedRelease[] = []

export type ParkedLaneDeps = {
  readonly state: PartitionState
  readonly context: WorkerContext
  readonly writer: StepWriter
  readonly deadLetterFrom: DeadLetterFrom
}

export function createParkedLane({ state, context, writer, deadLetterFrom }: ParkedLaneDeps): ParkedLane {
  const { id, books } = state
  const { index, releases, records, bodies: held } = state.parked
  const { parking, telemetry } = context
  let tombstones: Tombstone[] = []
  let closing: Tombstone[] = []
  /** Raw offsets below it are decided by committed books. */
  let committedNext = books.sourceNext
  let closingNext = committedNext

  function park(source: Source, transient: Transient | null): Parked {
    // Before anything of the record is written: the partition stands still and keeps it.
    if (!state.parked.hasTopic) throw noStateTopic(context.topics.state)
    const { offset } = source.at
    const unit = orderUnit(source.record.key, offset)
    const earlier = records.get(offset)
    const nowMs = context.epochMs()
    const record = { offset, stateOffset: earlier?.stateOffset ?? null, parkedAtMs: earlier?.parkedAtMs ?? nowMs }
    const wait = transient === null ? null : waitOf(transient, { attempt: 1, nowMs, parkedAtMs: record.parkedAtMs })
    index.park(unit, record, wait)
    held.put(source)
    return { unit, record, state: earlier === undefined ? parkedStateRecord(source, nowMs) : null }
  }

  function waitOf(transient: Transient, now: { attempt: number; nowMs: number; parkedAtMs: number }) {
    const { deadlineMs, awaits } = transient
    const deadline = deadlineMs === null ? null : now.parkedAtMs + deadlineMs
    return { awaits, dueMs: nextTry(parking.retry, { ...now, deadlineMs: deadline, jitter: context.random() }) }
  }

  async function release(): Promise<Releasing> {
    if (releases.pending() > 0 || state.fates.pendingFrom(books.sourceNext) !== null) return NOTHING
    const room = writer.transactional ? MAX_RELEASES : MAX_SETTLED - books.parked.settled.length
    const nowMs = context.epochMs()
    const units = room > 0 ? index.due(nowMs, room) : []
    const tried = firstOf(units, room)
    if (tried.length === 0) return NOTHING
    let bodies: Map<number, Source>
    try {
      bodies = await loadBodies(tried.map(({ record }) => record))
    } catch (error) {
      // Nothing was decided: what is lost or away stops this partition and no other.
      return { moved: false, stopped: describeError(error) }
    }
    const released: Released[] = []
    const waiting = new Set<string>()
    let stopped: string | null = null
    let bytes = 0
    for (const { unit, record } of tried) {
      const source = bodies.get(record.offset)
      if (source === undefined) waiting.add(unit)
      if (source === undefined || waiting.has(unit) || bytes > context.limits.maxChunkBytes) continue
      try {
        const out = await tryRelease(unit, { record, source, nowMs })
        if (out === null) waiting.add(unit)
        else {
          released.push(out)
          if (out.fate.kind === 'ok') bytes += out.fate.bytes
        }
      } catch (error) {
        stopped = describeError(error)
        break
      }
    }
    if (released.length > 0) await write(released)
    return { moved: released.length > 0, stopped }
  }

  /** The heads of the keys with what follows them, in order; only what a commit covers. */
  function firstOf(units: readonly string[], room: number): { unit: string; record: ParkedRecord }[] {
    const tried: { unit: string; record: ParkedRecord }[] = []
    for (const unit of units) {
      const records = index.first(unit, { below: committedNext, most: room - tried.length })
      for (const record of records) tried.push({ unit, record })
    }
    return tried
  }

  /** The fate of a key's head, or null when it waits on. */
  async function tryRelease(
    unit: string,
    { record, source, nowMs }: { record: ParkedRecord; source: Source; nowMs: number },
  ): Promise<Released | null> {
    const code = context.codeAt(id.partition, record.offset)
    const arrival = readArrival(source, code.contract)
    const { maxOutputBytes } = context.limits
    const input: Decidable = { source, arrival, code, duplicate: false, published: null, passed: false, maxOutputBytes }
    const joined = await context.join(input)
    const attempt = index.attempts(unit) + 1
    const { transient } = joined
    if (transient !== null && joined.problem === null) {
      const { parkedAtMs } = record
      const over = transient.deadlineMs !== null && nowMs >= parkedAtMs + transient.deadlineMs
      if (!over) {
        index.retry(unit, waitOf(transient, { attempt, nowMs, parkedAtMs }))
        return null
      }
    }
    const fate = await protectedFate(input, joined.problem === null ? giveUp(joined) : joined)
    index.release(unit)
    return { source, record, fate, attempt }
  }

  async function write(released: readonly Released[]): Promise<void> {
    const next = Math.max(books.parked.next, releases.next())
    const { outputs, deadLetters, problems, bookings, left } = releaseStep(released, { next, deadLetterFrom })
    const gone = writer.transactional ? left.map(({ key }) => parkedTombstone(id.partition, key)) : []
    const bytes = totalBytes(gone) + totalBytes(outputs) + totalBytes(deadLetters)
    await writer.write({ state: gone, outputs, deadLetters, bytes }, ({ outputs: offsets, state: stateOffsets }) => {
      coverRefined(books, offsets)
      coverState(books, stateOffsets)
    })
    if (outputs.length > 0) books.parked.next = next + SEQUENCE_BLOCK
    for (const { offset, release: booking } of bookings) {
      bookRelease(books, offset, booking)
      held.delete(offset)
    }
    if (writer.transactional) books.parked.settled = []
    else tombstones.push(...left)
    for (const problem of problems) telemetry.deadLettered(id, problem)
    telemetry.released(
      id,
      bookings.map(({ release: booking }) => booking.kind),
    )
  }

  /** From memory where they are, the rest in one read of the state topic. */
  async function loadBodies(wanted: readonly ParkedRecord[]): Promise<Map<number, Source>> {
    const bodies = new Map<number, Source>()
    const missing: ParkedRecord[] = []
    for (const record of wanted) {
      const source = held.get(record.offset)
      if (source === null) missing.push(record)
      else bodies.set(record.offset, source)
    }
    const places = missing.flatMap(({ stateOffset }) => (stateOffset === null ? [] : [stateOffset]))
    if (places.length === 0) return bodies
    for (const source of await parking.read(id.partition, places)) bodies.set(source.at.offset, source)
    return bodies
  }

  function bookPublished(refinedNext: number): boolean {
    const taken = releases.pending() === 0 ? NO_PUBLISHED : releases.takeBelow(refinedNext, books.sourceNext)
    for (const { offset, outputs, hash } of taken) {
      bookRelease(books, offset, { kind: 'ok', outputs, hash })
      const record = records.get(offset)
      if (record !== undefined) tombstones.push({ ...record, offset })
      else books.parked.settled.pop()
      records.delete(offset)
    }
    if (taken.length > 0) books.parked.next = releases.next()
    return taken.length > 0
  }

  return {
    holds({ at: { offset }, record }) {
      if (records.has(offset) || releases.has(offset)) return true
      return index.size() > 0 && index.has(orderUnit(record.key, offset))
    },
    isReleased: (offset) => releases.has(offset),
    full(offset) {
      const isFull = index.size() >= parking.maxRecords || index.bytes() >= parking.maxIndexBytes
      return isFull && !records.has(offset) && !state.fates.passed(offset)
    },
    size: () => index.size(),
    park,
    unpark({ unit, record }) {
      index.unpark(unit)
      held.delete(record.offset)
    },
    booked: ({ record }) => void records.delete(record.offset),
    placed: (record, stateOffset) => index.placed(record, stateOffset),
    forgetState({ at: { offset } }) {
      const record = records.get(offset)
      if (record === undefined) return
      records.delete(offset)
      books.parked.settled.push(offset)
      tombstones.push({ ...record, offset })
    },
    wake: (awaited) => index.wake(awaited),
    release,
    bookPublished,
    async clean() {
      await bury(state.parked.stale.map((record) => ({ ...record, offset: null })))
      books.parked.settled = []
    },
    async closeStep() {
      if (writer.transactional) {
        await bury(tombstones)
        tombstones = []
        books.parked.settled = []
      }
      closing = tombstones
      closingNext = books.sourceNext
      // A restart must find whatever is still to be taken or buried.
      const left = [...tombstones, ...records.values()].map(({ stateOffset }) => stateOffset ?? 0)
      books.parked.rawFrom = index.rawFrom()
      books.parked.stateFrom = Math.min(index.stateFrom(books.parked.stateNext), ...left)
    },
    async committed() {
      committedNext = closingNext
      await bury(closing)
      const gone = new Set(closing)
      const settled = new Set(closing.map(({ offset }) => offset))
      tombstones = tombstones.filter((tombstone) => !gone.has(tombstone))
      books.parked.settled = books.parked.settled.filter((offset) => !settled.has(offset))
      closing = []
    },
  }

  async function bury(buried: readonly Tombstone[]): Promise<void> {
    if (buried.length === 0) return
    const state = buried.map(({ key }) => parkedTombstone(id.partition, key))
    await writer.write({ state, outputs: [], deadLetters: [], bytes: totalBytes(state) }, (written) =>
      coverState(books, written.state),
    )
  }
}

/** The books cover the own output up to here. */
export function coverRefined(books: Books, offsets: readonly number[]): void {
  if (offsets.length > 0) books.refinedNext = Math.max(books.refinedNext, offsets.at(-1)! + 1)
}

export function coverState({ parked }: Books, offsets: readonly number[]): void {
  if (offsets.length > 0) parked.stateNext = Math.max(parked.stateNext, offsets.at(-1)! + 1)
}
