import type { Change } from '@mesh/client/refine'
import type { Contract } from '@mesh/shared/core/contract'
import type { Coordinate } from '@mesh/shared/core/coordinate'
import { isMeshError } from '@mesh/shared/core/errors'
import { eventIdOf, eventTimeOf } from '@mesh/shared/core/event-identity'
import { formatInstant, parseInstant } from '@mesh/shared/core/instant'
import { decodeUtf8, parseJson } from '@mesh/shared/core/json-text'
import { headerText, type KafkaRecord } from '@mesh/shared/core/record'
import { type Problem, problemOf } from './problem.ts'

/** A raw record and its identity: on a replay topic the coordinate is the source's, not the replay record's own. */
export type Source = { readonly at: Coordinate; readonly record: KafkaRecord }

type Identity = {
  readonly eventId: string
  /** ISO 8601 with offset. */
  readonly eventTime: string
  readonly eventTimeMs: number
}

/** What a raw record says once it is decoded. Only what is not poison takes part in the dedupe by event id. */
export type Arrival =
  /** `text` is what the event was parsed from: a join's key is read from it as it was written. */
  | ({ readonly kind: 'event'; readonly event: unknown; readonly text: string } & Identity)
  /** A change of a table's row (read-change.ts). */
  | ({ readonly kind: 'change'; readonly event: Change } & Identity)
  | ({ readonly kind: 'tombstone' } & Identity)
  | { readonly kind: 'poison'; readonly problem: Problem }

const DECODING = { code: 'MESH_DECODE_JSON' } as const

/** Pure in (record, contract). A null value is a tombstone, not poison. */
export function readArrival(source: Source, contract: Contract): Arrival {
  const { value } = source.record
  try {
    if (value === null) return { kind: 'tombstone', ...identityOf(source, contract, {}) }
    const text = decodeUtf8(value, DECODING)
    const event = parseJson(text, DECODING)
    const eventId = headerText(source.record.headers, 'ce_id') || eventIdOf(contract, event, text) || ownId(source.at)
    const time = eventTimeIn(source, contract, { event })
    return { kind: 'event', event, text, eventId, eventTime: time.text, eventTimeMs: time.epochMs }
  } catch (error) {
    if (!isMeshError(error)) throw error
    return { kind: 'poison', problem: problemOf('decode', error.code, error) }
  }
}

/** What the record itself says of id and time, where neither header nor contract does. */
type Told = { readonly event?: unknown; readonly eventId?: string | null; readonly eventTime?: unknown }

/**
 * `ce_id` and `ce_time` are what the gateway made of the contract when the record arrived, so they decide; the contract is asked only
 * for records that came without them. A record with no id at all is its own event: its coordinate is the id.
 * `eventTime`: epoch ms of a record whose contract points to none.
 */
export function identityOf(source: Source, contract: Contract, told: Told): Identity {
  const eventId = headerText(source.record.headers, 'ce_id') || told.eventId || ownId(source.at)
  const time = eventTimeIn(source, contract, told)
  return { eventId, eventTime: time.text, eventTimeMs: time.epochMs }
}

const ownId = ({ topicId, partition, offset }: Coordinate): string => `${topicId}:${partition}:${offset}`

type Time = { readonly text: string; readonly epochMs: number }

function eventTimeIn({ record }: Source, contract: Contract, told: Told): Time {
  // The contract's pointer may need a time zone's rules: it is read only where there is no usable header.
  const time = readTime(headerText(record.headers, 'ce_time')) ?? readTime(eventTimeOf(contract, told.event).time)
  if (time !== null) return time
  const ms = contract.eventTime === null && Number.isSafeInteger(told.eventTime) ? Number(told.eventTime) : 0
  const epochMs = ms > 0 ? ms : record.timestamp
  return { text: formatInstant(epochMs), epochMs }
}

function readTime(text: string | null): Time | null {
  const instant = text === null ? null : parseInstant(text)
  return instant?.offset ? { text: text!, epochMs: instant.epochMs } : null
}
