import { partitionOf } from '@mesh/shared/core/partitioner'
import { type RecordToSend, textBytes } from '@mesh/shared/core/record'
import type { AuditColumn } from './audit-columns.ts'

export type AuditMark = {
  readonly source: string
  /** `schema.table`. */
  readonly table: string
  readonly key: readonly AuditColumn[]
  /** Place of the mark in the database's log: behind everything that the audit saw. */
  readonly lsn: bigint
  readonly atMs: number
  readonly partitions: number
}

const NUMBERS: readonly string[] = ['int2', 'int4', 'int8', 'bool']

/**
 * The delete of a row that the table no longer has and whose own delete has not arrived: a change record as the connector would have
 * written it, at the mark's place. A row that came back since has a later place, and so it wins.
 */
export function deleteRecord(key: string, mark: AuditMark): RecordToSend {
  const [schema, table] = splitTable(mark.table)
  const bytes = textBytes(key)
  const lsn = mark.lsn.toString()
  const source =
    `{"connector":"postgresql","name":${JSON.stringify(mark.source)},"ts_ms":${mark.atMs},"snapshot":"false",` +
    `"sequence":${JSON.stringify(JSON.stringify([lsn, lsn]))},"schema":${JSON.stringify(schema)},` +
    `"table":${JSON.stringify(table)},"txId":null,"lsn":${lsn}}`
  const value = `{"before":${beforeJson(key, mark.key)},"after":null,"source":${source},"op":"d","ts_ms":${mark.atMs}}`
  return { partition: partitionOf(bytes, mark.partitions), key: bytes, value: textBytes(value), headers: [] }
}

function splitTable(table: string): [string, string] {
  const dot = table.indexOf('.')
  return [table.slice(0, dot), table.slice(dot + 1)]
}

/** The key columns by name. Numbers keep their characters. */
function beforeJson(key: string, columns: readonly AuditColumn[]): string {
  const single = columns.length === 1
  const texts = single ? [key] : splitArray(key)
  const fields = columns.map(({ name, type }, i) => {
    const text = texts[i] ?? 'null'
    const json = single && !NUMBERS.includes(type) ? JSON.stringify(text) : text
    return `${JSON.stringify(name)}:${json}`
  })
  return `{${fields.join(',')}}`
}

/** The elements of a compact JSON array of scalars, as they are written. */
function splitArray(key: string): string[] {
  return key.slice(1, -1).match(/"(?:[^"\\]|\\.)*"|[^,]+/g) ?? []
}
