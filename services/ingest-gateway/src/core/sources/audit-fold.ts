import { createHash } from 'node:crypto'
import { parseJson } from '@mesh/shared/core/json-text'
import { bytesText, type KafkaRecord } from '@mesh/shared/core/record'
import { type AuditColumn, columnText, SEPARATOR } from './audit-columns.ts'

/**
 * A point in the database's history: every transaction is on one side of it. From `pg_current_snapshot()` and the clock of the same
 * moment.
 */
export type AuditPoint = {
  readonly xmin: bigint
  readonly xmax: bigint
  readonly running: ReadonlySet<bigint>
  readonly atMs: number
}

export type FoldOptions = {
  readonly point: AuditPoint
  /** Those that are compared, in order of their names. */
  readonly columns: readonly AuditColumn[]
  /** Keys of other buckets are left out, so that a large table is folded in several passes. */
  readonly takes: (key: string) => boolean
}

/** The table as the topic has it at a point: per key the texts of its columns. */
export type Fold = {
  add(record: KafkaRecord): void
  readonly rows: ReadonlyMap<string, readonly string[]>
  /** Keys that were read by a snapshot at or after the point: their state then is not known. */
  readonly moving: ReadonlySet<string>
}

type Change = {
  readonly op?: string
  readonly after?: Readonly<Record<string, unknown>> | null
  readonly source?: {
    readonly txId?: number | null
    readonly lsn?: number | bigint | null
    /** JSON: the last commit's place in the database's log, and this change's. */
    readonly sequence?: string
    readonly ts_ms?: number
  }
}

const UNAVAILABLE = '__debezium_unavailable_value'

export function createFold({ point, columns, takes }: FoldOptions): Fold {
  const rows = new Map<string, readonly string[]>()
  const places = new Map<string, bigint>()
  let emptiedAt = -1n
  const moving = new Set<string>()

  function add(record: KafkaRecord): void {
    if (record.value === null) return
    const change = parseJson(record.value) as Change
    if (record.key === null) {
      if (change.op === 't' && isBefore(change, point)) empty(placeOf(change))
      return
    }
    const key = bytesText(record.key)
    if (!takes(key)) return
    if (!isBefore(change, point)) {
      if (isRead(change)) moving.add(key)
      return
    }
    const place = placeOf(change)
    if (place < emptiedAt || change.after === null || change.after === undefined) rows.delete(key)
    else rows.set(key, textsOf(change.after, rows.get(key)))
    places.set(key, place)
  }

  /** A truncate has no key: it lies on one partition and empties what stands before it on all. */
  function empty(at: bigint): void {
    if (at > emptiedAt) emptiedAt = at
    for (const key of rows.keys()) if ((places.get(key) ?? 0n) < at) rows.delete(key)
  }

  function textsOf(after: Readonly<Record<string, unknown>>, former: readonly string[] | undefined): readonly string[] {
    return columns.map((column, i) => {
      const value = after[column.name]
      if (value === UNAVAILABLE && former !== undefined) return former[i]!
      return columnText(column, value, md5)
    })
  }

  return { add, rows, moving }
}

/** Whether a change belongs to what the point's snapshot sees. A row that a snapshot has read counts by the time of the reading. */
export function isBefore({ source }: Change, point: AuditPoint): boolean {
  if (source?.txId === null || source?.txId === undefined) return (source?.ts_ms ?? 0) < point.atMs
  const id = widen(BigInt(source.txId), point.xmax)
  return id < point.xmin || (id < point.xmax && !point.running.has(id))
}

/** In the database's log; a row that an incremental snapshot has read stands where the log was then. */
function placeOf({ source }: Change): bigint {
  if (source?.lsn !== null && source?.lsn !== undefined) return BigInt(source.lsn)
  const [, last] = JSON.parse(source?.sequence ?? '[]') as (string | null)[]
  return BigInt(last ?? 0)
}

const isRead = ({ op }: Change): boolean => op === 'r'

/** Debezium has the lower 32 bits of a transaction id: the epoch is the newest that is not ahead of the point by half a cycle. */
function widen(id: bigint, xmax: bigint): bigint {
  const cycle = 1n << 32n
  const same = (xmax / cycle) * cycle + (id % cycle)
  if (same > xmax + cycle / 2n && same >= cycle) return same - cycle
  return same + cycle / 2n < xmax - cycle / 2n ? same + cycle : same
}

export const md5 = (text: string): string => createHash('md5').update(text, 'utf8').digest('hex')

export const rowDigest = (texts: readonly string[]): string => md5(texts.join(SEPARATOR))

export const BUCKETS = 256

/** As SQL has it in `bucketSql`: the first 16 bits of the key's digest. */
export const bucketOf = (key: string): number => Number.parseInt(md5(key).slice(0, 4), 16) % BUCKETS

export type BucketSum = { readonly rows: number; readonly sum: bigint }

/** Per bucket how many rows, and the sum of the first 60 bits of their digests. */
export function bucketSums(rows: ReadonlyMap<string, readonly string[]>): ReadonlyMap<number, BucketSum> {
  const sums = new Map<number, BucketSum>()
  for (const [key, texts] of rows) {
    const bucket = bucketOf(key)
    const before = sums.get(bucket) ?? { rows: 0, sum: 0n }
    sums.set(bucket, { rows: before.rows + 1, sum: before.sum + BigInt(`0x${rowDigest(texts).slice(0, 15)}`) })
  }
  return sums
}

/** Buckets whose sums differ. */
export function badBuckets(table: ReadonlyMap<number, BucketSum>, topic: ReadonlyMap<number, BucketSum>): number[] {
  const all = new Set([...table.keys(), ...topic.keys()])
  return [...all]
    .filter((bucket) => {
      const [a, b] = [table.get(bucket), topic.get(bucket)]
      return a?.rows !== b?.rows || a?.sum !== b?.sum
    })
    .sort((a, b) => a - b)
}

export type KeyDifferences = {
  /** In the table, not in the topic. */
  readonly missing: readonly string[]
  /** In both, with other values. */
  readonly differing: readonly string[]
  /** In the topic, no longer in the table. */
  readonly extra: readonly string[]
}

/** Which keys of the bad buckets differ; `table` has their digests. */
export function compareKeys(
  table: ReadonlyMap<string, string>,
  topic: ReadonlyMap<string, readonly string[]>,
  buckets: ReadonlySet<number>,
): KeyDifferences {
  const missing: string[] = []
  const differing: string[] = []
  for (const [key, digest] of table) {
    const texts = topic.get(key)
    if (texts === undefined) missing.push(key)
    else if (rowDigest(texts) !== digest) differing.push(key)
  }
  const extra = [...topic.keys()].filter((key) => buckets.has(bucketOf(key)) && !table.has(key))
  return { missing: missing.sort(), differing: differing.sort(), extra: extra.sort() }
}
