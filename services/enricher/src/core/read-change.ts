import type { Change } from '@mesh/client/refine'
import type { Contract } from '@mesh/shared/core/contract'
import { isMeshError } from '@mesh/shared/core/errors'
import { parseJson } from '@mesh/shared/core/json-text'
import { bytesText } from '@mesh/shared/core/record'
import type { Arrival, Source } from './arrival.ts'
import { identityOf } from './arrival.ts'
import {
  advance,
  digestOf,
  fillRow,
  formatHistory,
  isSuperseded,
  type KeyHistory,
  parseHistory,
  parseRow,
  rowText,
} from './change-history.ts'
import { type Envelope, readEnvelope } from './debezium.ts'
import type { KeyedState } from './keyed-state.ts'
import { problem, problemOf } from './problem.ts'
import { mayLackValues } from './unavailable-values.ts'

/** True for a stream whose raw records are the changes of a table. */
export const isChangeStream = (contract: Contract): boolean => contract.ingest.some(({ kind }) => kind === 'cdc')

/** How long ids are remembered: a change is held against its key's history instead. */
export const dedupeWindowOf = (contract: Contract): number =>
  isChangeStream(contract) ? 0 : contract.refine.dedupeWindowMs

export type ChangeArrival = {
  readonly arrival: Arrival
  /** The key has seen this position or a later one: the record is a duplicate. */
  readonly superseded: boolean
}

/** Key of what is known of the table as a whole: a truncate has no row. No primary key is an empty text. */
const TABLE = ''

/**
 * Reads a change and moves its key's history on. Pure in (record, contract, state), and the state is pure in the records before it,
 * whatever their fates. A separate tombstone (null value) has no position, and the delete before it says the same: superseded.
 */
export function readChange(source: Source, contract: Contract, state: KeyedState): ChangeArrival {
  const { at, record } = source
  if (record.value === null)
    return { arrival: { kind: 'tombstone', ...identityOf(source, contract, {}) }, superseded: true }
  let envelope: Envelope
  try {
    envelope = readEnvelope(parseJson(record.value, { code: 'MESH_DECODE_JSON' }))
  } catch (error) {
    if (!isMeshError(error)) throw error
    return { arrival: { kind: 'poison', problem: problemOf('decode', error.code, error) }, superseded: false }
  }
  const { change, position } = envelope
  const key = record.key === null ? TABLE : bytesText(record.key)
  if (key === TABLE && change.op !== 't' && change.op !== 'm') return poison('MESH_CDC_KEY', 'the change has no key')
  const identity = identityOf(source, contract, {
    event: change,
    eventId: changeId(envelope, key, at.partition),
    eventTime: change.source['ts_ms'],
  })
  // Logical messages are no changes of a row: several open transactions may write them out of the log's order.
  if (change.op === 'm') return { arrival: { kind: 'change', event: change, ...identity }, superseded: false }
  const known = parseHistory(state.get(key))
  const digest = digestOf(position, record.value)
  if (isSuperseded(known, position, digest)) {
    return { arrival: { kind: 'change', event: change, ...identity }, superseded: true }
  }
  const complete = mayLackValues(record.value) ? completed(change, known) : { event: change, lacking: [] }
  const keepsRow = change.source['connector'] === 'postgresql' && complete.event.after !== null
  const row = keepsRow ? rowText(complete.event.after!) : null
  state.set(key, formatHistory(advance(known, position, { digest, row })))
  if (complete.lacking.length > 0) {
    return poison(
      'MESH_CDC_VALUE_UNAVAILABLE',
      `the database did not log the unchanged value of ${complete.lacking.join(', ')}, and no earlier record of the key has it`,
    )
  }
  return { arrival: { kind: 'change', event: complete.event, ...identity }, superseded: false }
}

/** The change with its unavailable values put in from `before`, else from the last known row. */
function completed(change: Change, known: KeyHistory | null): { event: Change; lacking: readonly string[] } {
  const last = known !== null && known.server === change.source['name'] ? parseRow(known.row) : null
  const after = change.after === null ? null : fillRow(change.after, [change.before, last])
  const before = change.before === null ? null : fillRow(change.before, [last])
  const lacking = after?.lacking ?? []
  return {
    event: { ...change, before: before && without(before.row, before.lacking), after: after?.row ?? null },
    lacking,
  }
}

/** A placeholder is never handed on as a value, not even in `before`. */
function without(row: Readonly<Record<string, unknown>>, columns: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(row).filter(([column]) => !columns.includes(column)))
}

/** Rows of one COPY share an LSN, so the key is a part of the id; a position alone is no identity. */
function changeId({ change, position }: Envelope, key: string, partition: number): string {
  const { server, log, snapshot } = position
  if (change.op === 't') return `${server}:${log}:truncate:${partition}`
  if (change.op === 'm') return `${server}:${log}:message`
  return snapshot ? `${server}:snapshot:${log}:${key}` : `${server}:${log}:${key}`
}

function poison(code: 'MESH_CDC_KEY' | 'MESH_CDC_VALUE_UNAVAILABLE', reason: string): ChangeArrival {
  return { arrival: { kind: 'poison', problem: problem('decode', code, reason) }, superseded: false }
}
