import { type Binary, type Double, EJSON, type Long, type ObjectId } from 'bson'
import { bsonType } from './bson-type.ts'

const UUID_SUBTYPE = 4

/**
 * The key of a document: its `_id` as text. A text is itself, an ObjectId its hex digits, a number or timestamp its digits, a UUID in its usual form,
 * other bytes base64, a date ISO 8601; what is left (documents) canonical Extended JSON.
 */
export function documentKey(id: unknown): string {
  if (typeof id === 'string') return id
  if (id instanceof Date && !Number.isNaN(id.getTime())) return id.toISOString()
  switch (bsonType(id) ?? '') {
    case 'ObjectId':
      return (id as ObjectId).toHexString()
    case 'Int32':
    case 'Long':
    case 'Decimal128':
    case 'Timestamp':
      return (id as Long).toString()
    case 'Double':
      return String((id as Double).value)
    case 'Binary':
      return binaryText(id as Binary)
  }
  if (id === null || typeof id === 'boolean' || typeof id === 'number' || typeof id === 'bigint') return String(id)
  return EJSON.stringify(id, { relaxed: false })
}

function binaryText(id: Binary): string {
  const bytes = Buffer.from(id.value())
  if (id.sub_type !== UUID_SUBTYPE || bytes.byteLength !== 16) return bytes.toString('base64')
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/**
 * The types of `_id` in MongoDB's order of values ("Comparison/Sort Order" of its manual), with the names of `$type`. An `_id` is no array
 * and no regular expression.
 */
const NUMBERS: readonly string[] = ['int', 'long', 'double', 'decimal']
/** Texts and symbols compare with each other; no server needs to know the old type's name for that. */
const TEXTS: readonly string[] = ['symbol', 'string']
const ORDER: readonly (readonly string[])[] = [
  ['null'],
  NUMBERS,
  TEXTS,
  ['object'],
  ['binData'],
  ['objectId'],
  ['bool'],
  ['date'],
  ['timestamp'],
  ['maxKey'],
]

export type IdFilter = Readonly<Record<string, unknown>>

/**
 * What finds every document behind `after` in the order of `_id`, one filter after the other. `$gt` alone compares within one type: in a
 * collection with ids of several types the later ones would never be found.
 */
export function filtersAfter(after: unknown): IdFilter[] {
  // Everything is greater than the smallest key, and `$gt` knows it.
  if (bsonType(after) === 'MinKey') return [{ _id: { $gt: after } }]
  const name = typeName(after)
  const place = ORDER.findIndex((names) => names.includes(name))
  const later = ORDER.slice(place + 1).map((types) => (types === TEXTS ? { $gte: '' } : { $type: types }))
  return [{ $gt: after }, ...later].map((condition) => ({ _id: condition }))
}

function typeName(id: unknown): string {
  if (id === null) return 'null'
  if (typeof id === 'string') return 'string'
  if (typeof id === 'boolean') return 'bool'
  if (typeof id === 'number' || typeof id === 'bigint') return 'int'
  if (id instanceof Date) return 'date'
  switch (bsonType(id) ?? '') {
    case 'Int32':
    case 'Long':
    case 'Double':
    case 'Decimal128':
      return 'int'
    case 'BSONSymbol':
      return 'symbol'
    case 'Binary':
      return 'binData'
    case 'ObjectId':
      return 'objectId'
    case 'Timestamp':
      return 'timestamp'
    case 'MaxKey':
      return 'maxKey'
    default:
      return 'object'
  }
}
