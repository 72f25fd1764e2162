import type { Contract } from '@mesh/shared/core/contract'
import { MeshError } from '@mesh/shared/core/errors'
import { type EventTime, eventIdOf, eventKey, eventTimeOf } from '@mesh/shared/core/event-identity'
import { parseJson } from '@mesh/shared/core/json-text'
import { partitionOf } from '@mesh/shared/core/partitioner'
import { header, type RecordHeader, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import type { EventAttributes } from './event-attributes.ts'
import type { EventCheck } from './event-check.ts'

/** What is the same for all events of one request. */
export type RecordContext = {
  readonly contract: Pick<Contract, 'name' | 'key' | 'eventId' | 'eventTime'>
  readonly partitions: number
  readonly check: EventCheck | null
  readonly attributes: EventAttributes
  /** The id of an event whose contract points to none and that brings none. */
  readonly idFor: (index: number) => string
  /** The key of an event whose contract names none; absent or null = the event id. */
  readonly keyFor?: (index: number) => string | null
  /** Provider headers and traceparent, behind the CloudEvents ones. */
  readonly kept: readonly RecordHeader[]
  /** Epoch ms; the record's timestamp. */
  readonly receivedAt: number
}

export type BuiltRecord = {
  readonly index: number
  readonly eventId: string
  readonly record: RecordToSend
  /** The contract names an event time that could not be read: the receipt time stands in. */
  readonly timeUnreadable: boolean
}

export const MAX_EVENT_ID_BYTES = 1024

/**
 * The raw record of one event: value = its bytes untouched, key and partition by the contract, CloudEvents Kafka binary mode.
 * @throws MeshError MESH_EVENT_SCHEMA, MESH_EVENT_ID, MESH_EVENT_KEY.
 */
export function buildRecord(index: number, bytes: Uint8Array, context: RecordContext): BuiltRecord {
  const { contract, attributes } = context
  context.check?.(bytes)
  const event = readsEvent(contract) ? parseJson(bytes) : undefined
  const eventId = eventIdOf(contract, event, bytes) ?? attributes.id ?? context.idFor(index)
  const key = textBytes(eventKey(contract, event, bytes) ?? context.keyFor?.(index) ?? eventId)
  const time = eventTimeOf(contract, event)
  return {
    index,
    eventId,
    timeUnreadable: time.unreadable,
    record: {
      partition: partitionOf(key, context.partitions),
      key,
      value: bytes,
      headers: [...headersOf(eventId, time, context), header('content-type', 'application/json'), ...context.kept],
      timestamp: context.receivedAt,
    },
  }
}

/** A delete of what has this key: a null value. */
export function buildTombstone(key: string, eventId: string, context: RecordContext): RecordToSend {
  const bytes = textBytes(key)
  return {
    partition: partitionOf(bytes, context.partitions),
    key: bytes,
    value: null,
    headers: [...headersOf(eventId, { time: null, unreadable: false }, context), ...context.kept],
    timestamp: context.receivedAt,
  }
}

function headersOf(eventId: string, time: EventTime, context: RecordContext): RecordHeader[] {
  const { contract, attributes } = context
  const idBytes = textBytes(eventId)
  if (idBytes.byteLength > MAX_EVENT_ID_BYTES) {
    throw new MeshError(
      'MESH_EVENT_ID',
      `the event id has ${idBytes.byteLength} bytes, at most ${MAX_EVENT_ID_BYTES} are taken`,
    )
  }
  return [
    header('ce_specversion', '1.0'),
    { name: 'ce_id', value: idBytes },
    header('ce_source', attributes.source ?? `/v1/streams/${contract.name}`),
    header('ce_type', attributes.type ?? `mesh.${contract.name}`),
    header('ce_time', eventTimeText(time, context)),
    ...attributes.others.map(([name, value]) => header(`ce_${name}`, value)),
  ]
}

const readsEvent = (contract: RecordContext['contract']): boolean =>
  contract.key.length > 0 || contract.eventId !== null || contract.eventTime !== null

function eventTimeText(time: EventTime, context: RecordContext): string {
  const given = time.time ?? (time.unreadable ? null : context.attributes.time)
  return given ?? new Date(context.receivedAt).toISOString()
}
