import { formatHash } from '@mesh/shared/core/books'
import { formatInstant, parseInstant } from '@mesh/shared/core/instant'
import type { ParquetColumn, ParquetType } from '@mesh/shared/lake/parquet-values'
import type { Column, RefinedRow } from '@mesh/shared/schema/port'

const column = (name: string, kind: Exclude<ParquetType['kind'], 'decimal'>, nullable = false): ParquetColumn => ({
  name,
  type: { kind },
  nullable,
})

/** After the typed columns; `_lane` to `_index` are the mesh-src, `_raw_offset` the raw record's offset whatever the lane. */
const MESH_COLUMNS: readonly ParquetColumn[] = [
  column('_op', 'string'),
  column('_key', 'string'),
  column('_lane', 'string'),
  column('_topic_id', 'string'),
  column('_partition', 'int'),
  column('_offset', 'bigint'),
  column('_index', 'int'),
  column('_raw_offset', 'bigint'),
  column('_event_id', 'string'),
  column('_event_time', 'timestamptz', true),
  column('_schema_id', 'int', true),
  column('_hash', 'string'),
  column('_version', 'int'),
]

/** A delete has no values, so every typed column is nullable. */
export function silverColumns(typed: readonly Column[]): readonly ParquetColumn[] {
  return [...typed.map(({ name, type }) => ({ name, type, nullable: true })), ...MESH_COLUMNS]
}

export function silverRow(row: RefinedRow): readonly unknown[] {
  const { lane, topicId, partition, offset, index } = row.src
  return [
    ...row.values,
    row.op,
    row.key,
    lane,
    topicId,
    partition,
    offset,
    index,
    row.rawOffset,
    row.eventId,
    microsecondTime(row.eventTime),
    row.schemaId,
    formatHash(row.hash),
    row.version,
  ]
}

/** A sender's ce_time may have nine digits; the column has six. It names the event's time, and is no value of the event. */
function microsecondTime(text: string): string | null {
  const instant = parseInstant(text)
  return instant && formatInstant(instant.epochMs, instant.nanos, 6)
}
