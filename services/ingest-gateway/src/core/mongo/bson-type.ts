/**
 * The name of a BSON type, null for what is none. The driver and this code may each have loaded a copy of bson (it ships one for `import`
 * and one for `require`), so `instanceof` says nothing about what the driver hands over.
 */
export function bsonType(value: unknown): string | null {
  if (typeof value !== 'object' || value === null) return null
  const { _bsontype: type } = value as { _bsontype?: unknown }
  return typeof type === 'string' ? type : null
}
