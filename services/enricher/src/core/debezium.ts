import type { Change, ChangeOp } from '@mesh/client/refine'
import { MeshError } from '@mesh/shared/core/errors'
import { parseJson } from '@mesh/shared/core/json-text'
import { fromExtendedJson } from './extended-json.ts'

/**
 * Where a change stands in its database's own log. `log` grows with every change of one key: PostgreSQL's LSN of the change (row
 * locks make it grow with commits), MongoDB's cluster time (seconds in the high 32 bits, ordinal in the low ones).
 */
export type ChangePosition = {
  /** The logical server (Debezium's topic.prefix). Positions of two servers do not compare. */
  readonly server: string
  readonly log: bigint
  /** A row that was read, not changed. */
  readonly snapshot: boolean
  /** True where several changes of one key may share the position: those of one MongoDB transaction. */
  readonly shared: boolean
}

export type Envelope = { readonly change: Change; readonly position: ChangePosition }

type Json = Readonly<Record<string, unknown>>

const OPS: readonly ChangeOp[] = ['c', 'u', 'd', 'r', 't', 'm']

/**
 * A Debezium envelope as its JSON converter writes it without schemas (io.debezium.data.Envelope). MongoDB's `before`, `after` and
 * `updatedFields` are Extended JSON in a string and are read into values. @throws MeshError MESH_CDC_ENVELOPE, MESH_DECODE_JSON
 */
export function readEnvelope(value: unknown): Envelope {
  if (!isObject(value)) throw refused('the record is no Debezium envelope: a JSON object is expected')
  if ('schema' in value && 'payload' in value) {
    throw refused('the converter writes schemas with every record: set value.converter.schemas.enable=false')
  }
  const op = OPS.find((known) => known === value['op'])
  if (op === undefined) throw refused('the record is no Debezium envelope: `op` is none of c, u, d, r, t, m')
  const source = value['source']
  if (!isObject(source)) throw refused('the Debezium envelope has no `source`')
  const change: Change = {
    op,
    before: rowOf(value['before'], 'before'),
    after: rowOf(value['after'], 'after'),
    source,
    ...(isObject(value['message']) ? { message: value['message'] } : {}),
    ...(isObject(value['updateDescription'])
      ? { updateDescription: updateDescription(value['updateDescription']) }
      : {}),
  }
  return { change, position: positionOf(source, op) }
}

function rowOf(value: unknown, name: string): Record<string, unknown> | null {
  if (value === null || value === undefined) return null
  const row = typeof value === 'string' ? fromExtendedJson(parseJson(value, { code: 'MESH_DECODE_JSON' })) : value
  if (!isObject(row)) throw refused(`\`${name}\` of the Debezium envelope is no row`)
  return row as Record<string, unknown>
}

function updateDescription(description: Json): Json {
  const updated = description['updatedFields']
  return typeof updated === 'string' ? { ...description, updatedFields: rowOf(updated, 'updatedFields') } : description
}

function positionOf(source: Json, op: ChangeOp): ChangePosition {
  const server = source['name']
  if (typeof server !== 'string' || server === '') throw refused('`source.name` of the Debezium envelope is missing')
  const snapshot = op === 'r'
  switch (source['connector']) {
    case 'postgresql':
      return { server, log: lsnOf(source), snapshot, shared: false }
    case 'mongodb': {
      const seconds = wholeNumber(source['ts_ms'])
      const ordinal = wholeNumber(source['ord'] ?? 0)
      if (seconds === null || ordinal === null) throw refused('`source.ts_ms` or `source.ord` is no number')
      // A snapshot may have no ordinal (-1).
      const log = ((seconds / 1000n) << 32n) + (ordinal < 0n ? 0n : ordinal)
      return { server, log, snapshot, shared: source['txnNumber'] !== null && source['txnNumber'] !== undefined }
    }
    default:
      throw refused('`source.connector` is neither postgresql nor mongodb')
  }
}

/** `source.lsn`, else the second of `source.sequence` (a JSON array in a string: last commit's LSN, this change's LSN). */
function lsnOf(source: Json): bigint {
  const lsn = wholeNumber(source['lsn'])
  if (lsn !== null) return lsn
  const { sequence } = source
  const pair = typeof sequence === 'string' ? parseJson(sequence, { code: 'MESH_CDC_ENVELOPE' }) : null
  const own = Array.isArray(pair) && typeof pair[1] === 'string' && /^\d+$/.test(pair[1]) ? BigInt(pair[1]) : null
  if (own === null) throw refused('the change has no `source.lsn`')
  return own
}

function wholeNumber(value: unknown): bigint | null {
  if (typeof value === 'bigint') return value
  return Number.isSafeInteger(value) ? BigInt(value as number) : null
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

const refused = (reason: string): MeshError => new MeshError('MESH_CDC_ENVELOPE', reason)
