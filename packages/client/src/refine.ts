/**
 * The refine API: a pure, synchronous function from an event to its outcome. I/O is a declared join, never in here.
 * A thrown error becomes a dead letter.
 */
export type RefineRecord = {
  readonly key: string | null
  readonly headers: Readonly<Record<string, string | null>>
  readonly coordinate: { readonly topicId: string; readonly partition: number; readonly offset: number }
  readonly eventId: string
  /** Event time: ISO-8601 with offset. */
  readonly eventTime: string
  /** Kafka receipt time: ISO-8601 with offset. */
  readonly receivedAt: string
}

/** The joined rows by their `as` name, as refined records of the joined stream; null when missing. */
export type AnyJoins = Readonly<Record<string, Record<string, unknown> | null>>

/** @template J the joined rows by name: `Joins` of the stream's generated.ts. */
export type RefineContext<J = AnyJoins> = {
  readonly record: RefineRecord
  readonly joins: J
}

/** What happened to a row: created, updated, deleted, read by a snapshot; its table truncated; a logical message. */
export type ChangeOp = 'c' | 'u' | 'd' | 'r' | 't' | 'm'

/** The event of a stream of kind cdc: one change of one row, as Debezium reports it. */
export type Change<Row = Record<string, unknown>> = {
  readonly op: ChangeOp
  /** The row before; null for a new row, and where the database does not log it. May hold the key alone (replica identity). */
  readonly before: Row | null
  /** The row after; null for a delete. */
  readonly after: Row | null
  /** Debezium's `source` block: server, table, position, time of the change (`ts_ms`). */
  readonly source: Readonly<Record<string, unknown>>
  /** op `m`: prefix and content. */
  readonly message?: Readonly<Record<string, unknown>>
  /** MongoDB: the changed and removed fields of an update. */
  readonly updateDescription?: Readonly<Record<string, unknown>>
}

export type Output<R> = { readonly record: R; readonly subKey?: string }

export type Outcome<R> =
  | { readonly kind: 'ok'; readonly outputs: readonly Output<R>[] }
  | { readonly kind: 'tombstone'; readonly subKey: string | null }
  | { readonly kind: 'drop'; readonly reason: string }
  | { readonly kind: 'deadLetter'; readonly code: string; readonly reason: string }

/**
 * @template E the event as received @template R the record to write @template J the joined rows
 * `mesh streams generate` writes all three: `Refine<RawFlight, Flight, Joins>`.
 */
export type Refine<E = unknown, R = Record<string, unknown>, J = AnyJoins> = (
  event: E,
  context: RefineContext<J>,
) => Outcome<R>

/** One refined record, or none to many with a `subKey` each (key = `<source key>/<subKey>`, same partition). */
export function ok(none: readonly never[]): Outcome<never>
export function ok<R>(record: R | readonly Output<R>[]): Outcome<R>
export function ok<R>(record: R | readonly Output<R>[]): Outcome<R> {
  return { kind: 'ok', outputs: Array.isArray(record) ? (record as readonly Output<R>[]) : [{ record: record as R }] }
}

/** A delete of the key (or of `<key>/<subKey>`): a null value downstream. */
export function tombstone(options: { subKey?: string } = {}): Outcome<never> {
  return { kind: 'tombstone', subKey: options.subKey ?? null }
}

/** The event is understood and not wanted; counted as dropped. */
export function drop(reason: string): Outcome<never> {
  return { kind: 'drop', reason }
}

/** The event is wrong; it is kept with its bytes on the dead-letter topic. `code` is a bounded UPPER_SNAKE name. */
export function deadLetter(code: string, reason: string): Outcome<never> {
  return { kind: 'deadLetter', code, reason }
}
