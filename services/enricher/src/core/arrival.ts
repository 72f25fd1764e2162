import type { Contract } from '@mesh/shared/core/contract'
import type { Coordinate } from '@mesh/shared/core/coordinate'
import { isMeshError } from '@mesh/shared/core/errors'
import { eventIdOf, eventTimeOf } from '@mesh/shared/core/event-identity'
import { formatInstant, parseInstant } from '@mesh/shared/core/instant'
import { parseJson } from '@mesh/shared/core/json-text'
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
  | ({ readonly kind: 'event'; readonly event: unknown } & Identity)
  | ({ readonly kind: 'tombstone' } & Identity)
  | { readonly kind: 'poison'; readonly problem: Problem }

/** Pure in (record, contract). A null value is a tombstone, not poison. */
export function readArrival({ at, record }: Source, contract: Contract): Arrival {
  try {
    if (record.value === null) return { kind: 'tombstone', ...identity(at, record, contract, undefined) }
    const event = parseJson(record.value, { code: 'MESH_DECODE_JSON' })
    return { kind: 'event', event, ...identity(at, record, contract, event) }
  } catch (error) {
    if (!isMeshError(error)) throw error
    return { kind: 'poison', problem: problemOf('decode', error.code, error) }
  }
}

/**
 * `ce_id` and `ce_time` are what the gateway made of the contract when the record arrived, so they decide; the contract is asked only
 * for records that came without them. A record with no id at all is its own event: its coordinate is the id.
 */
function identity(at: Coordinate, record: KafkaRecord, contract: Contract, event: unknown): Identity {
  const declared = headerText(record.headers, 'ce_id')
  const eventId =
    declared ||
    (record.value === null ? null : eventIdOf(contract, event, record.value)) ||
    `${at.topicId}:${at.partition}:${at.offset}`
  // The contract's pointer may need a time zone's rules: it is read only where there is no usable header.
  const time = readTime(headerText(record.headers, 'ce_time')) ?? readTime(eventTimeOf(contract, event).time)
  return time === null
    ? { eventId, eventTime: formatInstant(record.timestamp), eventTimeMs: record.timestamp }
    : { eventId, eventTime: time.text, eventTimeMs: time.epochMs }
}

function readTime(text: string | null): { text: string; epochMs: number } | null {
  const instant = text === null ? null : parseInstant(text)
  return instant?.offset ? { text: text!, epochMs: instant.epochMs } : null
}
