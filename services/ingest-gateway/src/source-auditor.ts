import { MeshError } from '@mesh/shared/core/errors'
import { bytesText } from '@mesh/shared/core/record'
import type { PostgresSource } from '@mesh/shared/core/source'
import { rawTopic } from '@mesh/shared/core/topics'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import {
  keyCondition,
  openPoint,
  readShape,
  type TableShape,
  tableDigests,
  tableSums,
  writeMark,
} from './adapters/sources/audit-table.ts'
import { type PostgresClient, withPostgres } from './adapters/sources/postgres-client.ts'
import { type AuditMark, deleteRecord } from './core/sources/audit-delete.ts'
import {
  type AuditPoint,
  BUCKETS,
  badBuckets,
  bucketOf,
  bucketSums,
  compareKeys,
  createFold,
} from './core/sources/audit-fold.ts'
import { markersTopic } from './core/sources/connector-config.ts'
import type { SourceDatabase } from './core/sources/ports.ts'
import type { AuditReport, KeyList } from './core/sources/source-types.ts'

export type SourceAuditor = {
  audit(
    target: { readonly stream: string; readonly source: PostgresSource; readonly table: string },
    options: { readonly repair: boolean },
  ): Promise<AuditReport>
}

export type SourceAuditorOptions = {
  readonly kafka: KafkaPort
  readonly database: SourceDatabase
  readonly producer: () => Producer | null
  readonly freshId: () => string
  readonly now: () => number
  readonly markTimeoutMs: number
}

const KEYS_SHOWN = 100
const KEYS_PER_SIGNAL = 500
/** Rows folded at once: what bounds the memory of an audit. */
const ROWS_PER_PASS = 250_000
const TABLE_TIMEOUT_MS = 600_000

/**
 * Compares a table with the state that its raw topic folds to, at one point of the database's history: a transaction's snapshot, and a
 * mark in the database's log behind everything that the snapshot sees. What differs is named by key.
 */
export function createSourceAuditor(options: SourceAuditorOptions): SourceAuditor {
  const { kafka, database } = options

  return {
    audit: (target, { repair }) =>
      withPostgres(
        target.source,
        async (client) => {
          const point = await openPoint(client)
          const shape = await readShape(client, target.table)
          const mark = await passMark(target.source)
          const found = await compare(client, target, point, shape)
          await client.query('commit')
          const bad = [...found.missing, ...found.differing]
          if (repair && bad.length > 0) await reread(target, shape, bad)
          if (repair && found.extra.length > 0) {
            const at = { source: target.source.name, table: target.table, key: shape.key, lsn: mark, atMs: point.atMs }
            await writeDeletes(target.stream, found.extra, at)
          }
          return {
            stream: target.stream,
            source: target.source.name,
            table: target.table,
            state: stateOf(found),
            rows: found.rows,
            badRanges: found.bad,
            missing: listOf(found.missing),
            differing: listOf(found.differing),
            extra: listOf(found.extra),
            unproven: found.unproven,
            moving: found.moving,
            uncompared: shape.uncompared,
            repaired: repair ? bad.length + found.extra.length : null,
            at: new Date(options.now()).toISOString(),
          }
        },
        TABLE_TIMEOUT_MS,
      ),
  }

  /** Returns once a mark that was written after the snapshot has come out of the connector: all before it is on the raw topics. */
  async function passMark(source: PostgresSource): Promise<bigint> {
    const topic = markersTopic(source.name)
    const id = options.freshId()
    await kafka.admin.ensureTopics([{ name: topic, partitions: 1, config: { 'retention.ms': '86400000' } }])
    const content = Buffer.from(id).toString('base64')
    const seen = Promise.withResolvers<void>()
    const follower = await kafka.follow(topic, {
      from: 'end',
      onFatal: seen.reject,
      onBatch(batch) {
        if (batch.records.some(({ value }) => value !== null && bytesText(value).includes(content))) seen.resolve()
      },
    })
    const timer = setTimeout(() => {
      const text = `source ${source.name}: a mark in the database's log has not come out of its connector`
      seen.reject(new MeshError('MESH_SOURCE_NOT_RUNNING', text))
    }, options.markTimeoutMs)
    try {
      await follower.caughtUp
      const lsn = await withPostgres(source, (client) => writeMark(client, id))
      await seen.promise
      return lsn
    } finally {
      clearTimeout(timer)
      await follower.stop()
    }
  }

  async function compare(
    client: PostgresClient,
    { stream, table }: { stream: string; table: string },
    point: AuditPoint,
    shape: TableShape,
  ): Promise<Comparison> {
    const tableOf = await tableSums(client, table, shape)
    const tableRows = [...tableOf.values()].reduce((sum, { rows }) => sum + rows, 0)
    const passes = Math.min(BUCKETS, Math.max(1, Math.ceil(tableRows / ROWS_PER_PASS)))
    const topic = rawTopic(stream)
    const offsets = await kafka.admin.offsets(topic)
    const cut = offsets.some(({ logStartOffset }) => logStartOffset > 0)
    const ranges = offsets
      .filter(({ logStartOffset, highWatermark }) => logStartOffset < highWatermark)
      .map(({ partition, logStartOffset, highWatermark }) => ({ partition, from: logStartOffset, to: highWatermark }))
    const total: Comparison = {
      bad: [],
      missing: [],
      differing: [],
      extra: [],
      unproven: 0,
      moving: 0,
      rows: { table: tableRows, topic: 0 },
    }
    for (let pass = 0; pass < passes; pass++) {
      const inPass = (bucket: number): boolean => bucket % passes === pass
      const fold = createFold({ point, columns: shape.columns, takes: (key) => inPass(bucketOf(key)) })
      await kafka.readRanges(topic, ranges, (batch) => {
        for (const record of batch.records) fold.add(record)
      })
      const mine = new Map([...tableOf].filter(([bucket]) => inPass(bucket)))
      const bad = badBuckets(mine, bucketSums(fold.rows))
      total.rows.topic += fold.rows.size
      if (bad.length === 0) continue
      const digests = await tableDigests(client, table, shape, bad)
      const keys = compareKeys(digests, fold.rows, new Set(bad))
      const still = (key: string): boolean => !fold.moving.has(key)
      total.moving += [...keys.missing, ...keys.differing, ...keys.extra].filter((key) => !still(key)).length
      total.differing.push(...keys.differing.filter(still))
      total.extra.push(...keys.extra.filter(still))
      // A row that nobody has touched since before the log begins cannot be in it.
      const missing = keys.missing.filter(still)
      if (cut) total.unproven += missing.length
      else total.missing.push(...missing)
      total.bad.push(...bad)
    }
    return total
  }

  async function writeDeletes(
    stream: string,
    keys: readonly string[],
    mark: Omit<AuditMark, 'partitions'>,
  ): Promise<void> {
    const to = options.producer()
    if (to === null) throw new MeshError('MESH_GATEWAY_STARTING', 'the gateway has not reached Kafka yet')
    const topic = rawTopic(stream)
    const partitions = await kafka.admin.partitionCount(topic)
    await to.send(
      topic,
      keys.map((key) => deleteRecord(key, { ...mark, partitions })),
    )
  }

  async function reread(
    { source, table }: { source: PostgresSource; table: string },
    shape: TableShape,
    keys: readonly string[],
  ): Promise<void> {
    for (let at = 0; at < keys.length; at += KEYS_PER_SIGNAL) {
      const condition = keyCondition(shape.key, keys.slice(at, at + KEYS_PER_SIGNAL))
      await database.snapshot(source, `audit:${options.freshId()}`, [{ table, condition }])
    }
  }
}

type Comparison = {
  readonly bad: number[]
  readonly missing: string[]
  readonly differing: string[]
  readonly extra: string[]
  unproven: number
  moving: number
  readonly rows: { readonly table: number; topic: number }
}

function stateOf({ missing, differing, extra, unproven, moving }: Comparison): AuditReport['state'] {
  if (missing.length + differing.length + extra.length > 0) return 'open'
  return unproven + moving > 0 ? 'unproven' : 'closed'
}

const listOf = (keys: readonly string[]): KeyList => ({ count: keys.length, keys: keys.slice(0, KEYS_SHOWN) })
