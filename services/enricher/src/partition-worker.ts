import type { CommitEvent } from '@mesh/shared/core/books'
import { describeError } from '@mesh/shared/core/errors'
import type { RecordToSend } from '@mesh/shared/core/record'
import type { Progress } from '@mesh/shared/kafka/port'
import type { Source } from './core/arrival.ts'
import { bookEventTime, bookFate, closeStep, stillParked } from './core/books.ts'
import { booksMetadata, commitEvents } from './core/books-metadata.ts'
import { createBreaker, DEFAULT_BREAKER, type Trip } from './core/breaker.ts'
import type { ParkedRecord } from './core/parked.ts'
import type { Stall } from './core/stall.ts'
import { coverRefined, coverState, createParkedLane, type Releasing } from './parked-lane.ts'
import { createRecordDecider, type Decided, type Decision, type Prepared } from './record-decider.ts'
import type { StepWriter } from './step-writer.ts'
import type { PartitionState, WorkerContext } from './worker-context.ts'

export type PartitionWorker = {
  /**
   * Decides records in source order, after those it holds, and resolves when all their outputs and dead letters are written. `end`
   * is the source position after them, where known. Returns why it stopped before the last one, or null. After a throw nothing may
   * be committed any more.
   */
  run(sources: Iterable<Source>, end?: number): Promise<Stall | null>
  /** Position after the last decided record on the topic that is read; null before the first. */
  position(): number | null
  /** First of all: takes away what an earlier run left on the state topic. */
  clean(): Promise<void>
  /** Tries parked records that are due. */
  release(): Promise<Releasing>
  wake(awaited: string): void
  /** Closes the step: the progress to commit for `nextOffset` of the topic being read. */
  checkpoint(nextOffset: number): Promise<Progress>
  /** Publishes the last checkpoint; called once its offset is committed. */
  announce(): Promise<void>
  /** Publishes the committed books again: their event may have been lost with the process that owed it. */
  republish(): Promise<void>
  sourceNext(): number
  buffered(): number
  dedupeIds(): number
}

type Held = { readonly source: Source; prepared: Prepared | null }

export function createPartitionWorker(
  state: PartitionState,
  context: WorkerContext,
  writer: StepWriter,
): PartitionWorker {
  const { id, books, dedupe, keyed, fates } = state
  const { topics, limits, telemetry } = context
  const deadLetterFrom = { topic: topics.raw, group: context.group, version: id.version }
  const lane = createParkedLane({ state, context, writer, deadLetterFrom })
  const decider = createRecordDecider({ state, context, lane, deadLetterFrom })
  const breaker = createBreaker()
  let held: Held[] = []
  let heldEnd: number | null = null
  let position: number | null = null
  /** Next source offset that is not decided; the books follow once it is written. */
  let decidedNext = books.sourceNext
  let announcement: readonly CommitEvent[] | null = null
  /** Source position of the last checkpoint. */
  let announcedNext = books.sourceNext
  let parkedFrom = books.parked.next

  async function run(sources: Iterable<Source>, end?: number): Promise<Stall | null> {
    const before = { ...books.counts }
    for (const source of sources) held.push({ source, prepared: null })
    await context.prefetch(held.filter((one) => one.source.at.offset >= decidedNext).map(({ source }) => source))
    if (end !== undefined) heldEnd = end
    const { done, stall } = await decideHeld()
    held = held.slice(done)
    if (held.length === 0 && heldEnd !== null) {
      if (heldEnd > books.sourceNext) books.sourceNext = heldEnd
      decidedNext = books.sourceNext
      heldEnd = null
    }
    cover()
    telemetry.decided(id, before, books.counts)
    return stall
  }

  /** What an earlier run wrote for records yet to come stays beyond the books: a restart must find it again. */
  function cover(): boolean {
    books.refinedNext = fates.pendingFrom(books.sourceNext) ?? Math.max(books.refinedNext, state.fatesEnd)
    return lane.bookPublished(books.refinedNext)
  }

  async function decideHeld(): Promise<{ done: number; stall: Stall | null }> {
    let pending: Decided[] = []
    let bytes = 0
    let written = 0
    const flush = async (): Promise<void> => {
      await write(pending)
      written += pending.length
      pending = []
      bytes = 0
    }
    for (let at = 0; at < held.length; at++) {
      const entry = held[at]!
      let decided: Decision
      try {
        const deciding = decideOne(entry)
        decided = deciding instanceof Promise ? await deciding : deciding
      } catch (error) {
        await flush()
        return { done: written, stall: { kind: 'stopped', reason: describeError(error) } }
      }
      if (decided === 'full') {
        await flush()
        return { done: written, stall: { kind: 'parked-full', records: lane.size() } }
      }
      if (decided.fate !== null) decidedNext = decided.source.at.offset + 1
      const trip = watch(decided)
      if (trip !== null) {
        for (const { parked } of [...pending, decided].reverse()) if (parked !== null) lane.unpark(parked)
        breaker.undo()
        decidedNext = books.sourceNext
        return { done: written, stall: { kind: 'breaker', ...trip } }
      }
      if (bytes > 0 && bytes + decided.bytes > limits.maxChunkBytes) await flush()
      pending.push(decided)
      bytes += decided.bytes
      if (writer.buffered() + bytes > limits.maxTransactionBytes && writer.transactional) {
        await flush()
        return { done: written, stall: at + 1 < held.length ? { kind: 'transaction-full' } : null }
      }
    }
    await flush()
    return { done: written, stall: null }
  }

  /** At once where no lookup has to be waited for. */
  function decideOne(entry: Held): Decision | Promise<Decision> {
    const { source } = entry
    if (source.at.offset < decidedNext) {
      return { source, prepared: null, fate: null, parked: null, deadLetter: null, bytes: 0 }
    }
    entry.prepared ??= decider.prepare(source)
    return decider.decide(entry.prepared)
  }

  function watch({ fate, prepared }: Decided): Trip | null {
    if (fate === null || fate.kind === 'published' || prepared === null) return null
    const rule = prepared.code.contract.refine.breaker ?? DEFAULT_BREAKER
    return breaker.note(fate.kind === 'deadLetter' ? fate.problem.code : null, rule)
  }

  /** Writes what was decided, then books it: one step at a time, because a lost one must not be followed by a later one. */
  async function write(decided: readonly Decided[]): Promise<void> {
    if (decided.length === 0) return
    const state: RecordToSend[] = []
    const outputs: RecordToSend[] = []
    const deadLetters: RecordToSend[] = []
    const parked: ParkedRecord[] = []
    let bytes = 0
    let valueBytes = 0
    for (const one of decided) {
      bytes += one.bytes
      if (one.fate?.kind === 'ok') {
        for (const record of one.fate.records) {
          outputs.push(record)
          valueBytes += record.value?.byteLength ?? 0
        }
      }
      if (one.deadLetter !== null) deadLetters.push(one.deadLetter)
      if (!one.parked?.state) continue
      state.push(one.parked.state)
      parked.push(one.parked.record)
    }
    await writer.write({ state, outputs, deadLetters, bytes }, (written) => {
      coverRefined(books, written.outputs)
      coverState(books, written.state)
      parked.forEach((record, i) => lane.placed(record, written.state[i]!))
    })
    breaker.keep()
    books.step.bytes += valueBytes
    for (const one of decided) book(one)
  }

  function book({ source, prepared, fate, parked }: Decided): void {
    position = source.record.offset + 1
    if (fate === null || prepared === null) {
      books.counts.redelivered++
      return
    }
    books.sourceNext = source.at.offset + 1
    books.codeHash = prepared.code.codeHash
    books.contractHash = prepared.code.contractHash
    books.rawTime = Math.max(books.rawTime ?? source.record.timestamp, source.record.timestamp)
    bookFate(books, fate)
    if (fate.kind === 'duplicate' && prepared.ageMs !== null) telemetry.duplicate(id, prepared.ageMs)
    if (parked !== null) lane.booked(parked)
    else if (fate.kind !== 'parked') lane.forgetState(source)
    if (fate.kind === 'deadLetter') telemetry.deadLettered(id, fate.problem)
    const { arrival } = prepared
    if (arrival.kind !== 'poison' && (fate.kind === 'ok' || fate.kind === 'published')) {
      bookEventTime(books, arrival.eventTimeMs)
    }
  }

  return {
    run,
    position: () => position,
    clean: () => lane.clean(),
    async release() {
      const booked = cover()
      const { moved, stopped } = await lane.release()
      return { moved: moved || booked, stopped }
    },
    wake: (awaited) => lane.wake(awaited),
    async checkpoint(nextOffset) {
      await lane.closeStep()
      books.commits++
      books.transactional = writer.transactional
      telemetry.checkpoint(id, {
        dedupeIds: dedupe.size(),
        dedupeBytes: dedupe.diskBytes(),
        parked: stillParked(books),
      })
      // Dedupe and histories have noted what is held back too: they are cut only where they end with the books.
      if (held.every(({ prepared }) => prepared === null)) {
        dedupe.cut(books.sourceNext)
        keyed.seal(books.sourceNext)
      }
      announcedNext = books.sourceNext
      announcement = commitEvents(id, books, parkedFrom)
      parkedFrom = books.parked.next
      const metadata = booksMetadata(books)
      closeStep(books)
      return { nextOffset, metadata }
    },
    async announce() {
      await lane.committed()
      keyed.keep()
      if (announcement === null) return
      const events = announcement
      announcement = null
      dedupe.committed(announcedNext)
      for (const event of events) await context.publish({ ...event, at: context.wallClock() })
    },
    async republish() {
      for (const event of state.announced ?? []) await context.publish({ ...event, at: context.wallClock() })
    },
    sourceNext: () => books.sourceNext,
    buffered: () => writer.buffered(),
    dedupeIds: () => dedupe.size(),
  }
}
