import type { CommitEvent } from '@mesh/shared/core/books'
import type { JoinRule } from '@mesh/shared/core/contract'
import { MeshError } from '@mesh/shared/core/errors'
import type { RecordToSend } from '@mesh/shared/core/record'
import type { Producer, Progress } from '@mesh/shared/kafka/port'
import { readArrival, type Source } from './core/arrival.ts'
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
import { type Decidable, type Fate, type RefineCode, refinedFate, settledFate } from './core/decide.ts'
import type { DedupeStore } from './core/dedupe.ts'
import { createEmitPlan } from './core/emit-plan.ts'
import type { PublishedFates } from './core/fates.ts'
import { type Joined, type JoinedRow, joinKey, joinRows, NO_JOINS } from './core/joins.ts'
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

/** State of one raw partition as restored; the worker owns it from here on. */
export type PartitionState = {
  readonly id: BookId
  readonly books: Books
  readonly dedupe: DedupeStore
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
  /** Publishes the last checkpoint; called once its offset is committed. */
  announce(): Promise<void>
  /** Publishes the committed books again: their event may have been lost with the process that owed it. */
  republish(): Promise<void>
  sourceNext(): number
  dedupeIds(): number
}

export function createPartitionWorker(state: PartitionState, context: WorkerContext): PartitionWorker {
  const { id, books, dedupe, fates } = state
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
      const fate = decideNext(source)
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

  function decideNext(source: Source): Fate {
    const { offset } = source.at
    const code = context.codeAt(id.partition, offset)
    const arrival = readArrival(source, code.contract)
    dedupe.advance(source.record.timestamp)
    const age = arrival.kind === 'poison' ? null : dedupe.note(arrival.eventId, code.contract.refine.dedupeWindowMs)
    books.codeHash = code.codeHash
    books.contractHash = code.contractHash
    const input: Decidable = {
      source,
      arrival,
      code,
      duplicate: age !== null,
      published: fates.at(offset),
      passed: fates.passed(offset),
      maxOutputBytes: limits.maxOutputBytes,
    }
    const fate = settledFate(input) ?? refinedFate(input, join(input))
    if (fate.kind === 'duplicate') telemetry.duplicate(id, age ?? 0)
    if (arrival.kind !== 'poison' && (fate.kind === 'ok' || fate.kind === 'published')) {
      bookEventTime(books, arrival.eventTimeMs)
    }
    return fate
  }

  function join({ source, arrival, code }: Decidable): Joined {
    const rules: readonly JoinRule[] = code.contract.refine.joins
    const bytes = source.record.value
    if (rules.length === 0 || arrival.kind !== 'event' || bytes === null) return NO_JOINS
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
      dedupe.cut(books.sourceNext)
      telemetry.checkpoint(id, { dedupeIds: dedupe.size(), dedupeBytes: dedupe.diskBytes() })
      announcement = refinedCommitEvent(id, books, context.wallClock())
      const metadata = booksMetadata(books)
      closeStep(books)
      return { nextOffset, metadata }
    },
    async announce() {
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
