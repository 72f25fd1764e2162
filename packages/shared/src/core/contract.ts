import type { PollRule } from './poll-rule.ts'

/** A stream's contract after loading: defaults filled in, every option understood. Services read this from a bundle. */
export type IngestEvents = { readonly kind: 'events'; readonly auth: 'api-key' | 'none' }
export type IngestWebhook = {
  readonly kind: 'webhook'
  readonly provider: 'github'
  readonly secrets: readonly string[]
}
/** Changes of one table (PostgreSQL: `schema.table`, MongoDB: `database.collection`). Such a stream has no other ingest. */
export type IngestCdc = { readonly kind: 'cdc'; readonly source: string; readonly table: string }
/** What a connector writes; `topic` is the connector's own name for it, null = all that it writes. No other ingest beside it. */
export type IngestConnect = { readonly kind: 'connect'; readonly source: string; readonly topic: string | null }
export type IngestRedisStream = {
  readonly kind: 'redis-stream'
  readonly source: string
  readonly stream: string
  /** The entry's field whose text is the event, as it is; null = all fields as one object of texts. */
  readonly field: string | null
  /** Where a stream that was never read begins. */
  readonly from: 'start' | 'end'
}
export type IngestRedisKeyspace = {
  readonly kind: 'redis-keyspace'
  readonly source: string
  readonly pattern: string
  /** All keys are read and compared this often. */
  readonly reconcileMs: number
  readonly maxKeys: number
}
export type IngestPoll = { readonly kind: 'poll'; readonly source: string } & PollRule
export type IngestKafka = {
  readonly kind: 'kafka'
  readonly source: string
  readonly topic: string
  /** json: values as they are. registry: Confluent framing, decoded to JSON. bytes: `{"bytes": <base64>}`. */
  readonly format: 'json' | 'registry' | 'bytes'
  readonly from: 'start' | 'end'
}
/** Pushed to the door, or pulled from a source. */
export type IngestPull = IngestCdc | IngestConnect | IngestRedisStream | IngestRedisKeyspace | IngestPoll | IngestKafka
export type Ingest = IngestEvents | IngestWebhook | IngestPull

export type EventTimeRule = { readonly at: string; readonly format: string | null; readonly zone: string }
/** What becomes of an event whose joined row is missing: decided at once, or parked until the row is there or the time is up. */
export type OnMissing = 'null' | 'dead-letter' | { readonly waitMs: number; readonly giveUp: 'null' | 'dead-letter' }
export type JoinRule = {
  readonly stream: string
  readonly as: string
  /** JSON Pointer into the event whose text is the joined table's key. */
  readonly on: string
  readonly onMissing: OnMissing
  /** The row that held at the event's time, out of a history of so long; absent = the latest row. */
  readonly asOf?: { readonly historyMs: number }
  /** Every instance holds the whole table, also where it could do with the part of its own partitions. */
  readonly scope?: 'global'
}

/** A field of the refined record that leaves the enricher only protected. */
export type PrivacyRule = {
  /** JSON Pointer into the refined record: a text or bytes. */
  readonly at: string
  /** hash: HMAC under the contract's key. token, encrypt: under a key of the subject's own. */
  readonly as: 'hash' | 'token' | 'encrypt'
  /** JSON Pointer into the refined record, as refine.ts gave it: whose value it is. Null for a hash. */
  readonly subject: string | null
}
export type Privacy = {
  /** Reference of the secret that all keys hang on. */
  readonly key: string
  readonly fields: readonly PrivacyRule[]
}

/** An HTTP answer that joins like a row. */
export type LookupRule = {
  readonly as: string
  /** `{/pointer}` stands for the event's text at that JSON Pointer, percent-encoded. */
  readonly url: string
  /** Values as they are, or references to secrets: env:NAME, file:/path. */
  readonly headers: Readonly<Record<string, string>>
  /** How long an answer is used again; 0 = never. */
  readonly cacheMs: number
  /** Of one whole request. */
  readonly timeoutMs: number
  /** Requests at a time. */
  readonly concurrency: number
  readonly onMissing: 'null' | 'dead-letter'
  /** How long an event waits, parked, for the other side to answer before it is a dead letter. */
  readonly retryMs: number
  /** CIDRs that may be reached although they are not public. */
  readonly allow: readonly string[]
}

export type Contract = {
  readonly name: string
  readonly description: string
  readonly owner: string
  /** JSON Pointers, first non-null wins; the last resort is the event id. Empty = keyless. */
  readonly key: readonly string[]
  /** JSON Pointer, or null for the default order (ce id, delivery id, Idempotency-Key, fresh UUIDv7). */
  readonly eventId: string | null
  readonly eventTime: EventTimeRule | null
  readonly ingest: readonly Ingest[]
  /** True: raw.schema.json is checked at the gateway. */
  readonly validateAtIngest: boolean
  readonly raw: { readonly partitions: number; readonly retentionMs: number }
  readonly refine: {
    readonly schema: string
    readonly guarantee: 'at-least-once' | 'exactly-once'
    /** Absent in bundles that were frozen before there was one: the defaults hold. */
    readonly breaker?: { readonly share: number; readonly window: number }
    readonly dedupeWindowMs: number
    readonly joins: readonly JoinRule[]
    readonly lookups?: readonly LookupRule[]
    readonly cleanup: 'delete' | 'compact'
    readonly retentionMs: number
  }
  /** Absent: the refined record leaves as it is. */
  readonly privacy?: Privacy
  readonly lake: { readonly bronze: LakeLayer; readonly silver: LakeLayer }
  readonly warehouse: { readonly table: string; readonly mode: 'append' | 'upsert' }
}

/** `retentionMs`: rows that Kafka took in longer ago may be dropped by `mesh lake retain`; absent: the lake keeps everything. */
export type LakeLayer = { readonly format: 'parquet'; readonly retentionMs?: number }
