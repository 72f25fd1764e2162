import { MeshError } from '@mesh/shared/core/errors'
import type { Document, Timestamp } from 'bson'
import { bsonType } from './bson-type.ts'
import { documentKey } from './document-id.ts'

/**
 * A change stream event as MongoDB's manual has it ("Change Events"), with the driver's types: numbers, dates and bytes as BSON objects,
 * never rounded.
 */
export type ChangeEvent = Document

/** The time of an event in the oplog: seconds, and an ordinal within the second. */
export type ClusterTime = { readonly seconds: number; readonly ordinal: number }

export type DocumentChange = {
  readonly kind: 'change'
  /** Debezium's letter: c, u (update and replace), d. */
  readonly op: 'c' | 'u' | 'd'
  readonly key: string
  /** As it was before, where the collection keeps pre-images. */
  readonly before: Document | null
  /** Null for a delete; for an update also when the document was gone before it was looked up. */
  readonly after: Document | null
  readonly update: UpdateDescription | null
  /** Set for changes of a multi-document transaction, which share a cluster time. */
  readonly transaction: { readonly lsid: Document | null; readonly number: string } | null
}

export type UpdateDescription = {
  readonly updated: Document
  readonly removed: readonly string[]
  readonly truncated: readonly { readonly field: string; readonly size: number }[]
}

export type Decoded = (
  | DocumentChange
  /** The collection lost all its documents at once. */
  | { readonly kind: 'emptied' }
  | { readonly kind: 'renamed'; readonly to: string }
  /** The stream ends here; another one may start after it. */
  | { readonly kind: 'invalidated' }
  /** No change of a document: indexes, options, shards. */
  | { readonly kind: 'structure' }
) & { readonly at: ClusterTime; readonly wallTimeMs: number | null; readonly token: Document }

const STRUCTURE: ReadonlySet<string> = new Set([
  'create',
  'createIndexes',
  'dropIndexes',
  'modify',
  'shardCollection',
  'refineCollectionShardKey',
  'reshardCollection',
])

/** @throws MeshError MESH_SOURCE_EVENT: an event that is not understood stops its source, for what it says would be lost. */
export function decodeChange(event: ChangeEvent): Decoded {
  const type: unknown = event['operationType']
  const token = documentOf(event['_id'])
  if (token === null) throw refused('the change event has no resume token (_id)')
  const around = { at: clusterTimeOf(event), wallTimeMs: wallTimeOf(event), token }
  switch (type) {
    case 'insert':
      return { ...changeOf(event, 'c'), ...around }
    case 'update':
    case 'replace':
      return { ...changeOf(event, 'u'), ...around }
    case 'delete':
      return { ...changeOf(event, 'd'), ...around }
    case 'drop':
    case 'dropDatabase':
      return { kind: 'emptied', ...around }
    case 'rename': {
      const to = documentOf(event['to'])
      return {
        kind: 'renamed',
        to: to === null ? 'another name' : `${String(to['db'])}.${String(to['coll'])}`,
        ...around,
      }
    }
    case 'invalidate':
      return { kind: 'invalidated', ...around }
    default:
      if (typeof type === 'string' && STRUCTURE.has(type)) return { kind: 'structure', ...around }
      throw refused(`operationType ${JSON.stringify(type) ?? 'nothing'} is not known`)
  }
}

function changeOf(event: ChangeEvent, op: DocumentChange['op']): DocumentChange {
  const documentKeyPart = documentOf(event['documentKey'])
  if (documentKeyPart === null || !('_id' in documentKeyPart))
    throw refused(`a change (op ${op}) has no documentKey._id`)
  const after = documentOf(event['fullDocument'])
  if (op === 'c' && after === null) throw refused('an insert has no fullDocument')
  return {
    kind: 'change',
    op,
    key: documentKey(documentKeyPart['_id']),
    before: documentOf(event['fullDocumentBeforeChange']),
    after: op === 'd' ? null : after,
    update: updateOf(documentOf(event['updateDescription'])),
    transaction:
      event['txnNumber'] === undefined || event['txnNumber'] === null
        ? null
        : { lsid: documentOf(event['lsid']), number: String(event['txnNumber']) },
  }
}

function updateOf(description: Document | null): UpdateDescription | null {
  if (description === null) return null
  const truncated = (description['truncatedArrays'] ?? []) as readonly Document[]
  return {
    updated: documentOf(description['updatedFields']) ?? {},
    removed: ((description['removedFields'] ?? []) as readonly unknown[]).map(String),
    truncated: truncated.map((one) => ({ field: String(one['field']), size: Number(one['newSize']) })),
  }
}

function clusterTimeOf(event: ChangeEvent): ClusterTime {
  const time: unknown = event['clusterTime']
  if (bsonType(time) === 'Timestamp') return clusterTime(time as Timestamp)
  throw refused('the change event has no clusterTime')
}

export const clusterTime = (time: Timestamp): ClusterTime => ({ seconds: time.t, ordinal: time.i })

function wallTimeOf(event: ChangeEvent): number | null {
  const time: unknown = event['wallTime']
  return time instanceof Date && !Number.isNaN(time.getTime()) ? time.getTime() : null
}

function documentOf(value: unknown): Document | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Document) : null
}

const refused = (reason: string): MeshError => new MeshError('MESH_SOURCE_EVENT', reason)
