/**
 * One text for one value, made by SQL on the table's side and from Debezium's JSON on the topic's side, so that both can be compared
 * by their sums. A type without such a text is not compared, and told.
 */
export type AuditColumn = {
  readonly name: string
  /** `pg_type.typname`, or `enum` and `range` for whole families. */
  readonly type: string
  /** Place in the primary key, from 1; null for the others. */
  readonly keyPlace: number | null
}

type Form = {
  /** SQL over the quoted column; never null for a value. */
  readonly sql: (column: string) => string
  readonly text: (value: unknown) => string
}

/** Bytes; longer texts are replaced by their digest, on both sides. */
export const LONGEST_TEXT = 64

const plain: Form = { sql: (c) => `${c}::text`, text: (value) => textOf(value) }
const stamp = (sql: (c: string) => string): Form => ({
  sql: (c) => `case when isfinite(${c}) then ${sql(c)} else 'infinite' end`,
  text: (value) => stampText(textOf(value)),
})

const FORMS: Readonly<Record<string, Form>> = {
  int2: plain,
  int4: plain,
  int8: plain,
  oid: plain,
  bool: plain,
  text: plain,
  varchar: plain,
  name: plain,
  citext: plain,
  uuid: plain,
  json: plain,
  jsonb: plain,
  xml: plain,
  inet: plain,
  cidr: plain,
  macaddr: plain,
  enum: plain,
  range: plain,
  bpchar: { sql: (c) => `rtrim(${c}::text)`, text: (value) => textOf(value).replace(/ +$/, '') },
  numeric: { sql: (c) => `trim_scale(${c})::text`, text: (value) => decimalText(textOf(value)) },
  float4: { sql: (c) => `encode(float4send(${c}), 'hex')`, text: (value) => floatHex(value, 4) },
  float8: { sql: (c) => `encode(float8send(${c}), 'hex')`, text: (value) => floatHex(value, 8) },
  bytea: { sql: (c) => `encode(${c}, 'hex')`, text: (value) => Buffer.from(textOf(value), 'base64').toString('hex') },
  date: stamp((c) => `to_char(${c}, 'YYYY-MM-DD')`),
  timestamp: stamp((c) => `to_char(${c}, 'YYYY-MM-DD"T"HH24:MI:SS.US')`),
  timestamptz: stamp((c) => `to_char(${c} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')`),
  time: { sql: (c) => `to_char(${c}, 'HH24:MI:SS.US')`, text: (value) => stampText(textOf(value)) },
}

/** What stands for null: no text of a database holds it. */
export const NULL_TEXT = '\u001e'
export const SEPARATOR = '\u001f'

export const isComparable = ({ type }: AuditColumn): boolean => Object.hasOwn(FORMS, type)

/** SQL of a column's text, null included. */
export function columnSql(column: AuditColumn, quoted: string): string {
  const text = FORMS[column.type]!.sql(quoted)
  const short = `case when octet_length(${text}) > ${LONGEST_TEXT} then 'md5:' || md5(${text}) else ${text} end`
  return `case when ${quoted} is null then e'\\x1e' else ${short} end`
}

/** The same text from a value of Debezium's JSON; `digest` is MD5 in hex of UTF-8. */
export function columnText(column: AuditColumn, value: unknown, digest: (text: string) => string): string {
  if (value === null || value === undefined) return NULL_TEXT
  const text = FORMS[column.type]!.text(value)
  return Buffer.byteLength(text) > LONGEST_TEXT ? `md5:${digest(text)}` : text
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  return JSON.stringify(value)
}

/** Without the zeros at the end of its fraction. */
function decimalText(text: string): string {
  if (text === 'NAN') return 'NaN'
  const trimmed = text.includes('.') ? text.replace(/0+$/, '').replace(/\.$/, '') : text
  return trimmed === '-0' ? '0' : trimmed
}

function floatHex(value: unknown, bytes: 4 | 8): string {
  const number = Number(value)
  const buffer = Buffer.alloc(bytes)
  if (bytes === 4) buffer.writeFloatBE(number)
  else buffer.writeDoubleBE(number)
  return buffer.toString('hex')
}

const STAMP = /^(\d{4}-\d\d-\d\d)?(T)?(?:(\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?)?Z?$/

/** `2024-01-02T03:04:05.1Z` → `2024-01-02T03:04:05.100000`; what lies beyond all years is infinite. */
function stampText(text: string): string {
  const parts = STAMP.exec(text)
  if (!parts) return /^[+-]\d{5,}|infinity/.test(text) ? 'infinite' : text
  const [, date = '', t = '', time, fraction = ''] = parts
  return time === undefined ? date : `${date}${t}${time}.${fraction.padEnd(6, '0')}`
}
