import { isUtf8 } from 'node:buffer'
import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import { type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { buildRecord, type RecordContext } from './build-record.ts'
import { NO_ATTRIBUTES } from './event-attributes.ts'
import type { IngestStream } from './ports.ts'

/** An entry of a Redis stream. `fields` in their order, names and values as bytes. */
export type RedisEntry = { readonly id: string; readonly fields: readonly (readonly [name: Buffer, value: Buffer])[] }

export type EntryBuild = {
  readonly stream: IngestStream
  readonly source: string
  /** The Redis stream's key. */
  readonly key: string
  /** The field that is the event; null = all fields as an object of texts. */
  readonly field: string | null
  readonly receivedAt: number
}

/**
 * The raw record of an entry. Event id = `<stream>:<entry id>`; event time, where the contract names none, the milliseconds of the
 * entry's id. @throws MeshError MESH_SOURCE_EVENT
 */
export function buildEntry(entry: RedisEntry, build: EntryBuild): RecordToSend {
  const { stream } = build
  const context: RecordContext = {
    contract: stream.contract,
    partitions: stream.partitions,
    check: stream.check,
    attributes: { ...NO_ATTRIBUTES, source: `/sources/${build.source}`, time: entryTime(entry.id) },
    idFor: () => `${build.key}:${entry.id}`,
    kept: [],
    receivedAt: build.receivedAt,
  }
  try {
    return buildRecord(0, entryEvent(entry, build.field), context).record
  } catch (error) {
    if (!isMeshError(error)) throw error
    throw new MeshError('MESH_SOURCE_EVENT', `entry ${entry.id}: ${error.message} (${error.code})`, { cause: error })
  }
}

function entryEvent({ fields }: RedisEntry, field: string | null): Uint8Array {
  if (field !== null) {
    const found = fields.findLast(([name]) => name.toString('utf8') === field)
    if (!found) throw new MeshError('MESH_EVENT_JSON', `there is no field ${field}`)
    return found[1]
  }
  const texts = fields.map(([name, value]) => {
    if (!isUtf8(name) || !isUtf8(value))
      throw new MeshError('MESH_BODY_ENCODING', 'a field is not UTF-8: name the `field` of the event')
    return [name.toString('utf8'), value.toString('utf8')] as const
  })
  return textBytes(JSON.stringify(Object.fromEntries(texts)))
}

function entryTime(id: string): string | null {
  const ms = Number(id.split('-')[0])
  return Number.isSafeInteger(ms) && ms > 0 && ms < 8.64e15 ? new Date(ms).toISOString() : null
}

/** Entry ids are two counters, compared one after the other. */
export function isEntryAfter(a: string, b: string): boolean {
  const [aMs = '0', aSeq = '0'] = a.split('-')
  const [bMs = '0', bSeq = '0'] = b.split('-')
  return BigInt(aMs) === BigInt(bMs) ? BigInt(aSeq) > BigInt(bSeq) : BigInt(aMs) > BigInt(bMs)
}

/**
 * How many entries went before they were read. `read` counts entries from the stream's first one ever up to the next unread;
 * `removed` those that are gone (added − there). Entries go from the old end, so what is gone beyond `read` was never read.
 */
export function lostEntries(
  read: number | null,
  counts: { readonly added: number; readonly length: number },
): { lost: number; read: number } {
  const removed = counts.added - counts.length
  // A stream that has seen fewer entries than were read is another one.
  if (read === null || counts.added < read) return { lost: 0, read: removed }
  return removed > read ? { lost: removed - read, read: removed } : { lost: 0, read }
}
