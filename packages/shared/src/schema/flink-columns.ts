import type { AvroField, AvroNode, AvroRecord, Logical } from './avro-schema.ts'

/** A column of the table under which a Flink job sees a refined topic. */
export type FlinkColumn = { readonly name: string; readonly type: string }
export type FlinkProblem = { readonly field: string; readonly reason: string }

/**
 * Refined records as Flink's format `avro-confluent` (2.3) reads them. It derives a reader schema from the columns, so a column has
 * to be what that derivation turns back into the field's own Avro type; what it cannot be is a problem. NOT NULL mirrors the field.
 */
export function flinkColumns(record: AvroRecord): {
  readonly columns: readonly FlinkColumn[]
  readonly problems: readonly FlinkProblem[]
} {
  const columns: FlinkColumn[] = []
  const problems: FlinkProblem[] = []
  for (const field of record.fields) {
    const type = columnType(field, field.type, { problems, inside: [record] })
    if (type !== null) columns.push({ name: field.name, type })
  }
  return { columns, problems }
}

/** Why a column cannot be the event time of windows; null when it can. Flink's times of day and instants have 3 digits here. */
export function watermarkProblem(columns: readonly FlinkColumn[], name: string): string | null {
  const timed = columns.filter(({ type }) => /^TIMESTAMP(_LTZ)?\(3\)/.test(type)).map((column) => column.name)
  if (timed.includes(name)) return null
  return `the watermark's column \`${name}\` is no timestamp of its schema; there are: ${timed.join(', ') || 'none'}`
}

type Context = { readonly problems: FlinkProblem[]; readonly inside: readonly AvroRecord[] }

/** Null where a problem was reported. */
function columnType(field: AvroField, node: AvroNode, context: Context): string | null {
  if (node.kind !== 'union') return notNull(plainType(field, node, context))
  const [only, ...others] = node.branches.filter(({ kind }) => kind !== 'null')
  if (only === undefined || others.length > 0 || node.branches.length !== 2) {
    return report(field, context, 'is a union; Flink reads no union but of null and one type')
  }
  return plainType(field, only, context)
}

function plainType(field: AvroField, node: AvroNode, context: Context): string | null {
  const no = (reason: string): null => report(field, context, reason)
  switch (node.kind) {
    case 'boolean':
    case 'float':
    case 'double':
      return node.kind.toUpperCase()
    case 'string':
      return 'STRING'
    case 'int':
      if (node.logical === null) return 'INT'
      return node.logical.name === 'date' ? 'DATE' : 'TIME(3)'
    case 'long':
      return longType(node.logical, no)
    case 'bytes':
      if (node.logical?.name !== 'decimal') return 'BYTES'
      if (node.logical.precision > 38) return no(`is a decimal of ${node.logical.precision} digits; Flink holds 38`)
      return `DECIMAL(${node.logical.precision}, ${node.logical.scale})`
    case 'array':
      return wrap('ARRAY', columnType(field, node.items, context))
    case 'map':
      return wrap('MAP', columnType(field, node.values, context), 'STRING NOT NULL, ')
    case 'record':
      return rowType(field, node, context)
    case 'enum':
      return no(`is the enum ${node.name}; Flink reads no Avro enum: make it a string`)
    case 'fixed':
      return no(`is the fixed ${node.name}; Flink reads no Avro fixed: make it bytes`)
    case 'null':
    case 'union':
      return no(`is a ${node.kind} inside another type, which Flink has no column for`)
  }
}

function longType(logical: Logical | null, no: (reason: string) => null): string | null {
  if (logical === null) return 'BIGINT'
  if (logical.name === 'time') return no('is a time-micros; Flink reads time-millis')
  if (logical.name !== 'timestamp' && logical.name !== 'local-timestamp') return 'BIGINT'
  if (logical.unit === 'millis') return 'TIMESTAMP(3)'
  return no(`is a ${logical.name}-${logical.unit}; Flink reads ${logical.name}-millis`)
}

function rowType(field: AvroField, node: AvroRecord, context: Context): string | null {
  if (context.inside.includes(node)) return report(field, context, `contains ${node.name}, which contains itself`)
  const inner = { ...context, inside: [...context.inside, node] }
  const columns = node.fields.map((each) => {
    const type = columnType({ ...each, name: `${field.name}.${each.name}` }, each.type, inner)
    return type === null ? null : `\`${each.name}\` ${type}`
  })
  return columns.includes(null) ? null : `ROW<${columns.join(', ')}>`
}

const wrap = (outer: string, inner: string | null, first = ''): string | null =>
  inner === null ? null : `${outer}<${first}${inner}>`
const notNull = (type: string | null): string | null => (type === null ? null : `${type} NOT NULL`)

function report({ name }: AvroField, { problems }: Context, reason: string): null {
  problems.push({ field: name, reason })
  return null
}
