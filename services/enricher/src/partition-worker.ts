import type { CommitEvent } from '@mesh/shared/core/books'
import type { JoinRule } from '@mesh/shared/core/contract'
import { MeshError } from '@mesh/shared/core/errors'
import type { RecordToSend } from '@mesh/shared/core/record'
import type { Producer, Progress } from '@mesh/shared/kafka/port'
import { type Arrival, readArrival, type Source } from './core/arrival.ts'
import {
  type BookId,
  type Books,
  bookEventTime,
  bookFate,
  booksMetadata,
  closeStep,
  refinedCommitEvent,
} from './core/books.ts'
import { deadLetterRecord } from './core/dead-letter.ts'
import { type Decidable, type Fate, protectedFate, type RefineCode, settledFate } from './core/decide.ts'
import type { DedupeStore } from './core/dedupe.ts'
import { createEmitPlan } from './core/emit-plan.ts'
import type { PublishedFates } from './core/fates.ts'
import { type Joined, type JoinedRow, joinKey, joinRows, joinRulesOf, NO_JOINS } from './core/joins.ts'
import type { KeyedState } from './core/keyed-state.ts'
import { isChangeStream, readChange } from './core/read-change.ts'
import type { EnricherTelemetry } from './telemetry.ts'

export type EmitLimits = { readonly maxChunkBytes: number; readonly maxOutputBytes: number }

/** What a worker needs that is the same for every partition of a stream's version. */
export type WorkerContext = {
  readonly topics: { readonly raw: string; readonly refined: string; readonly deadLetter: string }
  readonly group: string
  readonly codeAt: (partition: number, offset: number) => RefineCode
  /** The row that a rule joins to an event of this time. */
  readonly findRow: (rule: JoinRule, key: string, eventTimeMs: number) => JoinedRow | null
  readonly producer: Pick<Producer, 'send'>
  readonly publish: (event: CommitEvent) => Promise<void>
  readonly limits: EmitLimits
  /** RFC 3339 time of the wall clock. */
  readonly wallClock: () => string
  readonly telemetry: EnricherTelemetry
}

/** `age`: ms since the record that a duplicate repeats; null where there is no window. */
type Arrived = { readonly arrival: Arrival; readonly duplicate: boolean; readonly age: number | null }

/** State of one raw partition as restored; the worker owns it from here on. */
export type PartitionState = {
  readonly id: BookId
  readonly books: Books
  readonly dedupe: DedupeStore
  /** Histories of a change stream's keys. */
  readonly keyed: KeyedState
  readonly fates: PublishedFates
  /** End of the own output that `fates` was read from. */
  readonly fatesEnd: number
  /** The commit event of the committed books; null before the first commit. */
  readonly announced: CommitEvent | null
}

export type PartitionWorker = {
  /**
   * Decides records in source order and resolves when all their outputs and dead letters are acked. `end` is the source position
   * after them, where known. After a throw nothing may be committed any more.
   */
  run(sources: Iterable<Source>, end?: number): Promise<void>
  /** Closes the step: the progress to commit for `nextOffset` of the topic being read. */
  checkpoint(nextOffset: number): Progress
  /** Called once the last checkpoint's offset is committed: keeps its state, publishes its books. */
  announce(): Promise<void>
  /** Publishes the committed books again: their event may have been lost with the process that owed it. */
  republish(): Promise<void>
  sourceNext(): number
  dedupeIds(): number
}

export function createPartitionWorker(state: PartitionState, context: WorkerContext): PartitionWorker {
  const { id, books, dedupe, keyed, fates } = state
  const { topics, limits, telemetry } = context
  const outputs = createEmitPlan(limits.maxChunkBytes)
  const deadLetters = createEmitPlan(limits.maxChunkBytes)
  const deadLetterFrom = { topic: topics.raw, group: context.group, version: id.version }
  let announcement: CommitEvent | null = null

  async function run(sources: Iterable<Source>, end?: number): Promise<void> {
    const before = { ...books.counts }
    for (const source of sources) {
      const { offset } = source.at
      if (offset < books.sourceNext) {
        books.counts.redelivered++
        continue
      }
      books.sourceNext = offset + 1
      const deciding = decideNext(source)
      const fate = deciding instanceof Promise ? await deciding : deciding
      bookFate(books, fate)
      if (fate.kind === 'ok' && fate.records.length > 0) {
        const chunk = outputs.add(fate.records)
        if (chunk !== null) await emit(chunk)
      } else if (fate.kind === 'deadLetter') {
        telemetry.deadLettered(id, fate.problem)
        const chunk = deadLetters.add([deadLetterRecord(source, fate.problem, deadLetterFrom)])
        if (chunk !== null) await context.producer.send(topics.deadLetter, chunk)
      }
    }
    await emit(outputs.take())
    const rest = deadLetters.take()
    if (rest.length > 0) await context.producer.send(topics.deadLetter, rest)
    if (end !== undefined && end > books.sourceNext) books.sourceNext = end
    // What an earlier run wrote for records yet to come stays beyond the books: a restart must find it again.
    books.refinedNext = fates.pendingFrom(books.sourceNext) ?? Math.max(books.refinedNext, state.fatesEnd)
    telemetry.decided(id, before, books.counts)
  }

  function decideNext(source: Source): Fate | Promise<Fate> {
    const { offset } = source.at
    const code = context.codeAt(id.partition, offset)
    dedupe.advance(source.record.timestamp)
    const { arrival, duplicate, age } = arrive(source, code)
    books.codeHash = code.codeHash
    books.contractHash = code.contractHash
    const input: Decidable = {
      source,
      arrival,
      code,
      duplicate,
      published: fates.at(offset),
      passed: fates.passed(offset),
      maxOutputBytes: limits.maxOutputBytes,
    }
    const booked = (fate: Fate): Fate => {
      if (fate.kind === 'duplicate' && age !== null) telemetry.duplicate(id, age)
      if (arrival.kind !== 'poison' && (fate.kind === 'ok' || fate.kind === 'published')) {
        bookEventTime(books, arrival.eventTimeMs)
      }
      return fate
    }
    const fate = settledFate(input) ?? protectedFate(input, join(input))
    return fate instanceof Promise ? fate.then(booked) : booked(fate)
  }

  /** A change is held against its key's history, without a time window; any other event against the ids of the window. */
  function arrive(source: Source, { contract }: RefineCode): Arrived {
    if (isChangeStream(contract)) {
      const { arrival, superseded } = readChange(source, contract, keyed)
      return { arrival, duplicate: superseded, age: null }
    }
    const arrival = readArrival(source, contract)
    const age = arrival.kind === 'poison' ? null : dedupe.note(arrival.eventId, contract.refine.dedupeWindowMs)
    return { arrival, duplicate: age !== null, age }
  }

  function join({ source, arrival, code }: Decidable): Joined {
    const bytes = source.record.value
    if (bytes === null || (arrival.kind !== 'event' && arrival.kind !== 'change')) return NO_JOINS
    const rules = joinRulesOf(arrival, code.contract.refine.joins)
    const keys = rules.map((rule) => joinKey(rule, arrival.event, bytes))
    const at = arrival.eventTimeMs
    const found = rules.map((rule, i) => (keys[i] == null ? null : context.findRow(rule, keys[i], at)))
    return joinRows(rules, found, keys)
  }

  /** One chunk at a time: were a later one written and an earlier one lost, order would be gone for good. */
  async function emit(chunk: readonly RecordToSend[]): Promise<void> {
    if (chunk.length === 0) return
    const offsets = await context.producer.send(topics.refined, chunk)
    const [first, last] = [offsets[0]!, offsets.at(-1)!]
    if (first < books.refinedNext) {
      throw new MeshError('MESH_KAFKA_TOPIC_RECREATED', `wrote at ${first}, below the known end ${books.refinedNext}`, {
        place: `${topics.refined}/${id.partition}`,
      })
    }
    books.refinedNext = last + 1
    for (const record of chunk) books.step.bytes += record.value?.byteLength ?? 0
  }

  return {
    run,
    checkpoint(nextOffset) {
      books.rawTime = dedupe.rawTime()
      keyed.seal(books.sourceNext)
      dedupe.cut(books.sourceNext)
      telemetry.checkpoint(id, { dedupeIds: dedupe.size(), dedupeBytes: dedupe.diskBytes() })
      announcement = refinedCommitEvent(id, books, context.wallClock())
      const metadata = booksMetadata(books)
      closeStep(books)
      return { nextOffset, metadata }
    },
    async announce() {
      keyed.keep()
      if (announcement === null) return
      const event = announcement
      announcement = null
      dedupe.committed(event.nextOffset)
      await context.publish(event)
    },
    async republish() {
      if (state.announced !== null) await context.publish({ ...state.announced, at: context.wallClock() })
    },
    sourceNext: () => books.sourceNext,
    dedupeIds: () => dedupe.size(),
  }
}
