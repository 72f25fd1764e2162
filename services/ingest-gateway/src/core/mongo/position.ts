import { type Document, EJSON, Timestamp } from 'bson'
import { type ClusterTime, clusterTime } from './change-event.ts'

/** Where a collection's reader is, as it lies on `mesh.cursors`. Texts are canonical Extended JSON. */
export type MongoPosition = {
  /** The oplog's time before the first document was read: where the changes begin. */
  readonly start: ClusterTime
  /** The last resume token; null = no change was read. */
  readonly token: string | null
  /** The snapshot that is under way; null = it is done, or none is wanted. */
  readonly snapshot: Snapshot | null
  /** The time of the last change, for people. */
  readonly last: ClusterTime | null
}

export type Snapshot = {
  /** The oplog's time before its first document was read; null = it has not begun. */
  readonly at: ClusterTime | null
  /** The `_id` of the last document that is in Kafka; null = none is. */
  readonly after: string | null
  readonly documents: number
}

const NEW_SNAPSHOT: Snapshot = { at: null, after: null, documents: 0 }

export const firstPosition = (start: ClusterTime, withSnapshot: boolean): MongoPosition => ({
  start,
  token: null,
  snapshot: withSnapshot ? { ...NEW_SNAPSHOT, at: start } : null,
  last: null,
})

/** All documents again, and the changes go on where they are. */
export const withSnapshotAgain = (position: MongoPosition): MongoPosition => ({ ...position, snapshot: NEW_SNAPSHOT })

export const valueText = (value: unknown): string => EJSON.stringify(value, { relaxed: false })
/** With BSON's own types, as the text was made from. */
export const textValue = (text: string): unknown => EJSON.parse(text, { relaxed: false })

export type StreamStart = { readonly startAfter: Document } | { readonly startAtOperationTime: Timestamp }

export function streamStart({ token, start }: MongoPosition): StreamStart {
  if (token !== null) return { startAfter: textValue(token) as Document }
  return { startAtOperationTime: new Timestamp({ t: start.seconds, i: start.ordinal }) }
}

/** What a server says of itself (command `hello`, formerly `isMaster`). */
export type ServerTimes = {
  /** A member of a replica set. */
  readonly lastWrite?: { readonly majorityOpTime?: { readonly ts: Timestamp } }
  readonly operationTime?: Timestamp
  readonly localTime: Date
}

/** A router knows no time up to which all its shards have committed by majority. */
const ROUTER_MARGIN_S = 60

/**
 * Where the changes begin that documents read from now on, by majority, do not show. The server's newest time would be too late: what was
 * written before it and is not yet committed by a majority is in neither. Earlier is harmless: a change that the documents show already
 * is told once more.
 */
export function startTime({ lastWrite, operationTime, localTime }: ServerTimes): ClusterTime {
  const committed = lastWrite?.majorityOpTime?.ts
  if (committed !== undefined) return clusterTime(committed)
  if (operationTime !== undefined) return { seconds: operationTime.t - ROUTER_MARGIN_S, ordinal: 1 }
  return { seconds: Math.floor(localTime.getTime() / 1000), ordinal: 1 }
}

/** As `/readyz` shows it. */
export function shownPosition({ snapshot, last, start }: MongoPosition): unknown {
  if (snapshot !== null) return { snapshot: { documents: snapshot.documents, after: snapshot.after } }
  return { changesUntil: new Date((last ?? start).seconds * 1000).toISOString() }
}
