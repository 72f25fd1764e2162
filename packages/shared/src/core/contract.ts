/** A stream's contract after loading: defaults filled in, every option understood. Services read this from a bundle. */
export type IngestEvents = { readonly kind: 'events'; readonly auth: 'api-key' | 'none' }
export type IngestWebhook = {
  readonly kind: 'webhook'
  readonly provider: 'github'
  readonly secrets: readonly string[]
}
export type Ingest = IngestEvents | IngestWebhook

export type EventTimeRule = { readonly at: string; readonly format: string | null; readonly zone: string }
/** What becomes of an event whose joined row is missing: decided at once, or parked until the row is there or the time is up. */
export type OnMissing = 'null' | 'dead-letter' | { readonly waitMs: number; readonly giveUp: 'null' | 'dead-letter' }
export type JoinRule = {
  readonly stream: string
  readonly as: string
  /** JSON Pointer into the event whose text is the joined table's key. */
  readonly on: string
  readonly onMissing: OnMissing
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
    readonly cleanup: 'delete' | 'compact'
    readonly retentionMs: number
  }
  readonly lake: { readonly bronze: { readonly format: 'parquet' }; readonly silver: { readonly format: 'parquet' } }
  readonly warehouse: { readonly table: string; readonly mode: 'append' | 'upsert' }
}
