import { MeshError } from '@mesh/shared/core/errors'
import type { KafkaRecord, RecordBatch } from '@mesh/shared/core/record'
import type { PartitionHandler, Progress } from '@mesh/shared/kafka/port'
import { type ChainLink, walkChain } from '@mesh/shared/lake/chain'
import type { ChainId } from '@mesh/shared/lake/chain-names'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { type CutReason, createChainBuffer, type FlushLimits } from './core/chain-buffer.ts'
import { booksAfter, buildFile } from './core/chain-file.ts'
import type { Entry, EntrySource } from './core/entry.ts'
import type { MemoryBudget } from './core/memory-budget.ts'
import { progressAfter } from './core/resume.ts'
import type { LakeSinkTelemetry } from './telemetry.ts'

export type ChainPartitionOptions = {
  readonly id: ChainId
  /** Last object of the chain as found at assignment. */
  readonly last: ChainLink | null
  readonly source: EntrySource
  readonly store: ObjectStore
  readonly limits: FlushLimits
  readonly budget: MemoryBudget
  /** @throws MeshError MESH_KAFKA_TOPIC_RECREATED when the topic is no longer the one that was assigned. */
  readonly checkTopic: () => Promise<void>
  readonly publish: (link: ChainLink) => Promise<void>
  /** Monotonic, ms. */
  readonly now: () => number
  readonly telemetry: LakeSinkTelemetry
}

/**
 * One partition: records → entries → objects of its chain. Progress is returned only after the object that holds it is durable
 * and announced. Any other writer of the chain is met at `create`, which one of them loses; the loser goes on from the winner.
 */
export function createChainPartition(options: ChainPartitionOptions): PartitionHandler {
  const { id, source, store, limits, now, telemetry } = options
  const share = options.budget.share()
  let books = booksAfter(options.last?.footer ?? null)
  const buffer = createChainBuffer(options.last?.footer.nextOffset ?? 0)
  /** What the consumer has handed over; trails the buffer where another writer's object reached further. */
  let readTo = buffer.firstOffset()
  /** The last object's, until the loop takes it; at first the one found, whose group offset may have been lost. */
  let progress: Progress | null = options.last && progressAfter(options.last, readTo)

  async function process(batch: RecordBatch): Promise<Progress | null> {
    if (batch.topicId !== id.topicId) throw recreated(batch)
    for (const record of batch.records) {
      readTo = record.offset
      if (source.changes(record)) await flushBefore(record)
      if (record.offset < buffer.firstOffset()) continue
      buffer.add(await readEntry(batch, record), now())
      readTo = record.offset + 1
      share.hold(buffer.bytes())
      await flushDue()
    }
    readTo = batch.nextOffset
    buffer.advance(batch.nextOffset)
    return takeProgress()
  }

  async function flushBefore({ offset }: KafkaRecord): Promise<void> {
    buffer.advance(offset)
    await flush('schema')
  }

  async function readEntry(batch: RecordBatch, record: KafkaRecord): Promise<Entry> {
    try {
      return await source.read(record)
    } catch (cause) {
      if (!(cause instanceof MeshError) || cause.code !== 'MESH_DECODE_AVRO') throw cause
      const place = `${batch.topic}/${batch.partition}/${record.offset}`
      throw new MeshError('MESH_DECODE_AVRO', 'reading a refined record', { place, cause })
    }
  }

  async function flushDue(): Promise<void> {
    const reason = buffer.due(limits, now()) ?? (share.mustCut() ? 'memory' : null)
    if (reason) await flush(reason)
  }

  /** Writes until no entry is left. A loser drops what the winner's objects cover and builds the rest again on their books. */
  async function flush(reason: CutReason): Promise<void> {
    while (buffer.entries().length > 0) {
      const startedAt = now()
      const range = { firstOffset: buffer.firstOffset(), nextOffset: buffer.nextOffset() }
      const file = buildFile(id, range, { entries: buffer.entries(), columns: source.columns(), books })
      await options.checkTopic()
      const outcome = await store.create(file.link.key, file.content)
      if (outcome === 'created') {
        telemetry.flushed(file.link, { reason, redelivered: redeliveredIn(file.link), ms: now() - startedAt })
        await settle(file.link)
      } else {
        const winner = await walkChain(store, id, range.firstOffset)
        telemetry.adopted(winner!)
        await settle(winner!)
      }
    }
  }

  const redeliveredIn = ({ footer }: ChainLink): number => footer.counts.redelivered - books.counts.redelivered

  async function settle(link: ChainLink): Promise<void> {
    books = booksAfter(link.footer)
    buffer.drop(link.footer.nextOffset)
    share.hold(buffer.bytes())
    await options.publish(link)
    progress = progressAfter(link, readTo)
  }

  function takeProgress(): Progress | null {
    const taken = progress
    progress = null
    return taken
  }

  return {
    process,
    async tick() {
      await flushDue()
      return takeProgress()
    },
    async close() {
      try {
        await flush('closing')
        return takeProgress()
      } finally {
        share.leave()
      }
    },
  }
}

function recreated({ topic, topicId }: RecordBatch): MeshError {
  return new MeshError('MESH_KAFKA_TOPIC_RECREATED', `records arrive from topic id ${topicId}`, { place: topic })
}
