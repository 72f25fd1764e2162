import type { IngestKafka } from '@mesh/shared/core/contract'
import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import type { RecordBatch } from '@mesh/shared/core/record'
import { retryDelayMs } from '@mesh/shared/core/retry-policy'
import type { AssignedPartition, Assignment, KafkaPort, PartitionHandler } from '@mesh/shared/kafka/port'
import type { Service } from '@mesh/shared/runtime/service'
import { buildForeign, type ForeignRecord } from './core/foreign-record.ts'
import type { IngestStream, SourceSession } from './core/ports.ts'
import type { SourceReport } from './core/source-status.ts'
import { sleep } from './sleep.ts'

export type KafkaReaderOptions = {
  readonly ingest: IngestKafka
  readonly stream: IngestStream
  readonly groupId: string
  readonly connect: () => Promise<KafkaPort>
  /** Takes the position of one foreign partition. */
  readonly open: (partition: number) => Promise<SourceSession>
  readonly decode: (record: RecordBatch['records'][number]) => Promise<ForeignRecord>
  readonly report: SourceReport
  readonly onLed: (leads: boolean) => void
  readonly onLost: (records: number) => void
  readonly now: () => number
  readonly random: () => number
}

type ForeignState = { readonly topicId: string; readonly position: number }

const RETRY = { initialMs: 500, maxMs: 30_000, factor: 2, retries: Infinity }

/**
 * Copies a foreign topic. Its partitions are shared out by the foreign cluster's group; the position of each is kept on the mesh's own
 * `mesh.cursors`, in the transaction of the records, so what is copied is copied exactly once. What is committed over there is only a
 * mirror, for those who look at lag.
 */
export function createKafkaReader(options: KafkaReaderOptions): Service {
  const { ingest, report, stream } = options
  const stopped = new AbortController()
  const sessions = new Set<SourceSession>()
  const positions = new Map<number, number>()
  let working: Promise<void> = Promise.resolve()
  let attempt = 0

  async function run(): Promise<void> {
    while (!stopped.signal.aborted) {
      let foreign: KafkaPort | null = null
      try {
        foreign = await options.connect()
        await consume(foreign)
      } catch (error) {
        report.failing(
          isMeshError(error)
            ? error
            : new MeshError('MESH_KAFKA_UNAVAILABLE', 'the cluster does not answer', { cause: error }),
        )
        await sleep(retryDelayMs(RETRY, ++attempt, options.random())!, stopped.signal)
      } finally {
        // A reader that broke does not close its partitions.
        await Promise.all([...sessions].map((session) => session.close().catch(() => undefined)))
        sessions.clear()
        positions.clear()
        options.onLed(false)
        await foreign?.close().catch(() => undefined)
      }
    }
  }

  async function consume(foreign: KafkaPort): Promise<void> {
    if ((await foreign.admin.topicIds([ingest.topic])).size === 0) {
      throw new MeshError('MESH_SOURCE_TOPIC_UNKNOWN', 'the foreign cluster has no such topic', { place: ingest.topic })
    }
    const broken = Promise.withResolvers<never>()
    broken.promise.catch(() => undefined)
    const consumer = foreign.consumer({
      groupId: options.groupId,
      topics: [ingest.topic],
      onFatal: broken.reject,
      assign: (assigned) => assign(foreign, assigned),
    })
    try {
      await consumer.start()
      await Promise.race([broken.promise, ended(stopped.signal)])
    } finally {
      await consumer.stop().catch(() => undefined)
    }
  }

  async function assign(foreign: KafkaPort, assigned: AssignedPartition): Promise<Assignment> {
    const { partition, topicId, logStartOffset, highWatermark } = assigned
    const session = await options.open(partition)
    sessions.add(session)
    options.onLed(true)
    const kept = session.state as ForeignState | null
    if (kept !== null && kept.topicId !== topicId) throw recreated(partition)
    let position = kept?.position ?? (ingest.from === 'start' ? logStartOffset : highWatermark)
    if (position < logStartOffset) {
      options.onLost(logStartOffset - position)
      position = logStartOffset
    }
    // Where it begins is decided once: `end` is another place after every restart.
    if (position !== kept?.position) await commit(session, { topicId, position }, [])
    positions.set(partition, position)
    report.ok(shown())
    return { position, handler: handlerOf(foreign, session, assigned) }
  }

  function handlerOf(
    foreign: KafkaPort,
    session: SourceSession,
    { partition, topicId }: AssignedPartition,
  ): PartitionHandler {
    return {
      async process(batch) {
        const build = { stream, source: ingest.source, topic: ingest.topic, partition, receivedAt: options.now() }
        const decoded = await Promise.all(batch.records.map(options.decode))
        const records = decoded.map((record) => buildForeign(record, build))
        // Asked after the fetch: what was fetched from another topic of this name is seen here.
        if ((await foreign.admin.topicIds([ingest.topic])).get(ingest.topic) !== topicId) throw recreated(partition)
        await commit(session, { topicId, position: batch.nextOffset }, records)
        positions.set(partition, batch.nextOffset)
        attempt = 0
        report.written(records.length)
        report.ok(shown())
        return { nextOffset: batch.nextOffset, metadata: '' }
      },
      async close() {
        sessions.delete(session)
        positions.delete(partition)
        if (positions.size === 0) options.onLed(false)
        await session.close()
        return null
      },
    }
  }

  function commit(
    session: SourceSession,
    state: ForeignState,
    records: Parameters<SourceSession['commit']>[0]['records'],
  ): Promise<void> {
    return session.commit({ records, state })
  }

  function recreated(partition: number): MeshError {
    const place = `${ingest.topic}/${partition}`
    return new MeshError('MESH_SOURCE_TOPIC_RECREATED', 'the foreign topic is another one under the same name', {
      place,
    })
  }

  const shown = (): unknown => Object.fromEntries([...positions].sort(([a], [b]) => a - b))

  return {
    async start() {
      working = run()
    },
    async stop() {
      stopped.abort()
      await working
    },
  }
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
