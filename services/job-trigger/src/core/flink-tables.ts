import type { HighestSrc } from '@mesh/shared/core/coordinate'
import type { FlinkColumn } from '@mesh/shared/schema/flink-columns'

/** A partition of a refined topic, as a run reads it: [from, to) are the run's, [start, to) are all that is there. */
export type TopicRange = {
  readonly partition: number
  readonly start: number
  readonly from: number
  readonly to: number
}

export type FlinkInput = {
  readonly stream: string
  readonly topic: string
  readonly columns: readonly FlinkColumn[]
  readonly ranges: readonly TopicRange[]
  /** Per sequence the highest `mesh-src` that earlier runs had: what is at or below it has been sent again. */
  readonly after: HighestSrc
  readonly brokers: string
  readonly registry: string
}

/**
 * What a script finds for an input stream `flights`: the view `flights`, this run's records, and `flights_all`, all up to the end of
 * this run that the topic still has. Each record once: an enricher that was restarted may have sent some again under the same
 * `mesh-src`. Both are bounded, so the same run reads the same records whenever it runs.
 */
export function inputStatements(input: FlinkInput): string[] {
  const name = input.stream.replaceAll('-', '_')
  return [
    table(input, `${name}_records`, 'from'),
    table(input, `${name}_all_records`, 'start'),
    view(input, name, `${name}_records`, true),
    view(input, `${name}_all`, `${name}_all_records`, false),
  ]
}

function table(input: FlinkInput, name: string, begin: 'from' | 'start'): string {
  return kafkaTable(input, name, {
    'scan.startup.specific-offsets': offsetsOf(input, begin),
    'scan.bounded.mode': 'specific-offsets',
    'scan.bounded.specific-offsets': offsetsOf(input, 'to'),
  })
}

const offsetsOf = ({ ranges }: FlinkInput, of: 'start' | 'from' | 'to'): string =>
  ranges.map((range) => `partition:${range.partition},offset:${range[of]}`).join(';')

/** A refined topic as Flink reads it. @param computed columns and clauses besides the record's own */
export function kafkaTable(
  { topic, columns, brokers, registry }: FlinkInput,
  name: string,
  reading: Readonly<Record<string, string>>,
  computed: readonly string[] = [],
): string {
  const lines = [
    ...columns.map((column) => `${quoted(column.name)} ${column.type}`),
    "`_headers` MAP<STRING NOT NULL, BYTES> METADATA FROM 'headers' VIRTUAL",
    "`_received` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL",
    "`_refined_partition` INT METADATA FROM 'partition' VIRTUAL",
    "`_refined_offset` BIGINT METADATA FROM 'offset' VIRTUAL",
    ...computed,
  ]
  const options = {
    connector: 'kafka',
    topic,
    'properties.bootstrap.servers': brokers,
    'properties.isolation.level': 'read_committed',
    'scan.startup.mode': 'specific-offsets',
    ...reading,
    'value.format': 'avro-confluent',
    'value.avro-confluent.url': registry,
    'value.fields-include': 'ALL',
  }
  const set = Object.entries(options).map(([key, value]) => `${text(key)} = ${text(value)}`)
  return `CREATE TEMPORARY TABLE ${quoted(name)} (\n  ${lines.join(',\n  ')}\n) WITH (\n  ${set.join(',\n  ')}\n)`
}

/** The columns that a script sees, `_src` besides. */
export const seenColumns = ({ columns }: FlinkInput): readonly string[] => [
  ...columns.map((column) => quoted(column.name)),
  '`_received`',
  '`_refined_partition`',
  '`_refined_offset`',
]

export const SRC: string = "DECODE(`_headers`['mesh-src'], 'UTF-8')"
const part = (at: number): string => `SPLIT_INDEX(\`_src\`, ';', ${at})`
/** `lane;topicId;partition`. */
export const SEQUENCE: string = `CONCAT_WS(';', ${part(0)}, ${part(1)}, ${part(2)})`

function view(input: FlinkInput, name: string, from: string, ofRun: boolean): string {
  const known = ofRun ? Object.entries(input.after) : []
  const [offset, index] = [`CAST(${part(3)} AS BIGINT)`, `CAST(${part(4)} AS INT)`]
  const rows = known.map(([key, at]) => `(${text(key)}, CAST(${at.offset} AS BIGINT), ${at.index})`)
  const again =
    known.length === 0
      ? ''
      : `\n  LEFT JOIN (VALUES ${rows.join(', ')}) AS k (\`_known\`, \`_known_offset\`, \`_known_index\`) ON ${SEQUENCE} = k.\`_known\`` +
        `\n  WHERE k.\`_known\` IS NULL OR ${offset} > k.\`_known_offset\` OR (${offset} = k.\`_known_offset\` AND ${index} > k.\`_known_index\`)`
  return `CREATE TEMPORARY VIEW ${quoted(name)} AS
SELECT ${seenColumns(input).join(', ')}, \`_src\` FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY \`_src\` ORDER BY \`_refined_offset\`) AS \`_nth\`
  FROM (SELECT *, ${SRC} AS \`_src\` FROM ${quoted(from)})${again}
) WHERE \`_nth\` = 1`
}

export const quoted = (name: string): string => `\`${name.replaceAll('`', '``')}\``
export const text = (value: string): string => `'${value.replaceAll("'", "''")}'`
