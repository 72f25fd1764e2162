import { createHash } from 'node:crypto'
import { MeshError } from '@mesh/shared/core/errors'
import { type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { type Document, EJSON } from 'bson'
import { buildRecord, type RecordContext } from '../build-record.ts'
import { NO_ATTRIBUTES } from '../event-attributes.ts'
import type { IngestStream } from '../ports.ts'
import type { ClusterTime, Decoded, DocumentChange } from './change-event.ts'
import { documentKey } from './document-id.ts'
import { valueText } from './position.ts'

export type MongoBuild = {
  readonly stream: IngestStream
  readonly source: string
  /** `database.collection`. */
  readonly collection: string
  readonly oversize: 'fail' | 'dead-letter'
  /** Of the envelope as JSON. */
  readonly maxBytes: number
  readonly receivedAt: number
}

type Rows = Pick<DocumentChange, 'before' | 'after' | 'update'>
type Envelope = Rows & { readonly op: string; readonly place: Place }
/** What the envelope's `source` block says. */
type Place = {
  readonly at: ClusterTime
  readonly wallTimeMs: number | null
  readonly transaction: DocumentChange['transaction']
  /** Tells the changes of one transaction apart. */
  readonly sequence: string | null
}

/** Of a key within an event id, which has at most 1024. */
const MAX_ID_PART_BYTES = 700

const NO_ROWS: Rows = { before: null, after: null, update: null }

/**
 * The raw record of a change: Debezium's envelope for MongoDB as JSON, documents as Extended JSON in a string, the key as text. Event id =
 * `<source>:<cluster time>:<key>`; changes of one transaction share the time and have a digest of their token behind it.
 * @throws MeshError MESH_SOURCE_EVENT_TOO_LARGE, MESH_SOURCE_EVENT
 */
export function changeRecord(change: DocumentChange & Decoded, build: MongoBuild): RecordToSend {
  const { key, op, transaction, at, wallTimeMs } = change
  const sequence = transaction === null ? null : digestOf(change.token)
  const eventId = [build.source, logOf(at), ...(sequence === null ? [] : [sequence]), idPart(key)].join(':')
  return recordOf({ ...change, op, place: { at, wallTimeMs, transaction, sequence } }, { key, eventId }, build)
}

/** The raw record of a document that was read: op r, at the time of the oplog when the reading began. */
export function snapshotRecord(document: Document, at: ClusterTime, build: MongoBuild): RecordToSend {
  const key = documentKey(document['_id'])
  const eventId = `${build.source}:snapshot:${logOf(at)}:${idPart(key)}`
  const place: Place = { at, wallTimeMs: null, transaction: null, sequence: null }
  return recordOf({ ...NO_ROWS, after: document, op: 'r', place }, { key, eventId }, build)
}

/** The collection was dropped: a truncate, which has no key. */
export function emptiedRecord({ at, wallTimeMs }: Pick<Decoded, 'at' | 'wallTimeMs'>, build: MongoBuild): RecordToSend {
  const place: Place = { at, wallTimeMs, transaction: null, sequence: null }
  const eventId = `${build.source}:${logOf(at)}:truncate:0`
  return { ...recordOf({ ...NO_ROWS, op: 't', place }, { key: '', eventId }, build), key: null, partition: 0 }
}

function recordOf(envelope: Envelope, id: { key: string; eventId: string }, build: MongoBuild): RecordToSend {
  let value = envelopeBytes(envelope, build, null)
  if (value.byteLength > build.maxBytes) {
    if (build.oversize === 'fail') {
      const text = `the change of one document has ${value.byteLength} bytes as JSON, at most ${build.maxBytes} are taken`
      throw new MeshError('MESH_SOURCE_EVENT_TOO_LARGE', text, {
        place: `${build.collection}, _id ${id.key.slice(0, 100)}`,
      })
    }
    value = envelopeBytes({ ...envelope, ...NO_ROWS }, build, value.byteLength)
  }
  const { stream } = build
  const context: RecordContext = {
    // Key, id and time are the source's; what the contract says of the event's time is the enricher's to read.
    contract: { ...stream.contract, key: [], eventId: null, eventTime: null },
    partitions: stream.partitions,
    check: null,
    attributes: {
      ...NO_ATTRIBUTES,
      source: `/sources/${build.source}/${build.collection}`,
      time: new Date(envelope.place.at.seconds * 1000).toISOString(),
    },
    idFor: () => id.eventId,
    keyFor: () => id.key,
    kept: [],
    receivedAt: build.receivedAt,
  }
  return buildRecord(0, value, context).record
}

/** Field for field as Debezium's connector writes it, so that readers need not know who read. */
function envelopeBytes(
  { op, before, after, update, place }: Envelope,
  build: MongoBuild,
  oversize: number | null,
): Uint8Array {
  const { at, wallTimeMs, transaction, sequence } = place
  const dot = build.collection.indexOf('.')
  const seconds = String(at.seconds)
  const envelope = {
    before: before === null ? null : valueText(before),
    after: after === null ? null : valueText(after),
    updateDescription:
      update === null
        ? null
        : {
            removedFields: update.removed,
            updatedFields: valueText(update.updated),
            truncatedArrays: update.truncated,
          },
    source: {
      version: 'mesh',
      connector: 'mongodb',
      name: build.source,
      ts_ms: at.seconds * 1000,
      snapshot: op === 'r' ? 'true' : 'false',
      db: build.collection.slice(0, dot),
      sequence,
      ts_us: rawJson(`${seconds}000000`),
      ts_ns: rawJson(`${seconds}000000000`),
      collection: build.collection.slice(dot + 1),
      ord: at.ordinal,
      lsid: transaction?.lsid ? EJSON.stringify(transaction.lsid, { relaxed: false }) : null,
      txnNumber: transaction === null ? null : rawJson(transaction.number),
      wallTime: wallTimeMs,
      ...(oversize === null ? {} : { oversize }),
    },
    transaction: null,
    op,
    ts_ms: build.receivedAt,
  }
  return textBytes(JSON.stringify(envelope))
}

/** An `_id` may be longer than an event id. */
const idPart = (key: string): string => (Buffer.byteLength(key) <= MAX_ID_PART_BYTES ? key : digest(key))

/** The enricher's order of changes: seconds in the high half, ordinal in the low one. */
const logOf = ({ seconds, ordinal }: ClusterTime): bigint => (BigInt(seconds) << 32n) + BigInt(ordinal)

const digestOf = (token: Document): string => digest(valueText(token)).slice(0, 22)
const digest = (text: string): string => createHash('sha256').update(text).digest('base64url')

/** Digits that JSON.stringify would round or refuse. */
const rawJson = (JSON as unknown as { rawJSON(this: void, text: string): unknown }).rawJSON
