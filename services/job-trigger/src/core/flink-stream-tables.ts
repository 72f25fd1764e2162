import { type FlinkInput, kafkaTable, quoted, SEQUENCE, SRC, seenColumns, text } from './flink-tables.ts'

export type FlinkStream = {
  readonly input: FlinkInput
  /** Under which Flink writes its offsets down at each checkpoint: for lag, and to see what retention has taken. */
  readonly group: string
  readonly watermark: { readonly column: string; readonly delayMs: number } | null
}

/**
 * What a script finds that streams: the view `flights`, from the start offsets of the run on. Each record once: `mesh-src` rises within
 * a sequence, so what is not above the highest one before it has been sent again. The state for that is one value per sequence,
 * where numbering the records of each `mesh-src`, as a batch does, would keep all of them for ever.
 */
export function streamStatements({ input, group, watermark }: FlinkStream): string[] {
  const name = input.stream.replaceAll('-', '_')
  const reading = {
    'properties.group.id': group,
    'scan.startup.specific-offsets': input.ranges.map((r) => `partition:${r.partition},offset:${r.from}`).join(';'),
  }
  return [
    kafkaTable(input, `${name}_records`, reading, ['`_arrived` AS PROCTIME()', ...rowtime(watermark)]),
    view(input, name),
  ]
}

function rowtime(watermark: FlinkStream['watermark']): string[] {
  if (watermark === null) return []
  const column = quoted(watermark.column)
  return [`WATERMARK FOR ${column} AS ${column} - ${interval(watermark.delayMs)}`]
}

function interval(ms: number): string {
  const days = Math.floor(ms / 86_400_000)
  // The rest of it as hh:mm:ss.mmm.
  const rest = new Date(ms % 86_400_000).toISOString().slice(11, -1)
  return `INTERVAL '${days} ${rest}' DAY(3) TO SECOND(3)`
}

/** `mesh-src` within its sequence as text that sorts: offset, then index. */
const AT = "CONCAT(LPAD(SPLIT_INDEX(`_src`, ';', 3), 20, '0'), LPAD(SPLIT_INDEX(`_src`, ';', 4), 10, '0'))"
const at = (offset: number, index: number): string => `${offset}`.padStart(20, '0') + `${index}`.padStart(10, '0')

function view(input: FlinkInput, name: string): string {
  const known = Object.entries(input.after).map(
    ([key, { offset, index }]) => `(\`_sequence\` <> ${text(key)} OR \`_at\` > ${text(at(offset, index))})`,
  )
  const over = 'OVER (PARTITION BY `_sequence` ORDER BY `_arrived`'
  return `CREATE TEMPORARY VIEW ${quoted(name)} AS
SELECT ${seenColumns(input).join(', ')}, \`_src\` FROM (
  SELECT *, LAG(\`_highest\`) ${over}) AS \`_before\` FROM (
    SELECT *, MAX(\`_at\`) ${over} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS \`_highest\`
    FROM (SELECT *, ${SEQUENCE} AS \`_sequence\`, ${AT} AS \`_at\` FROM (SELECT *, ${SRC} AS \`_src\` FROM ${quoted(`${name}_records`)}))
  )
) WHERE ${['(`_before` IS NULL OR `_at` > `_before`)', ...known].join(' AND ')}`
}
