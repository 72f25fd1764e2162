import type { AvroNode } from './avro-schema.ts'
import { typeLabel } from './avro-schema.ts'
import { conversionOf, isWrappedUnion } from './value-model.ts'

/**
 * A field's JSON default in the value model. A union takes the first branch that the JSON fits (Avro 1.12; older schemas: always
 * the first). Bytes are text with one character per byte.
 */
export function defaultValue(node: AvroNode, json: unknown): unknown {
  const plain = plainDefault(node, json)
  const conversion = conversionOf(node)
  return conversion ? (conversion.fromAvro as (value: unknown) => unknown)(plain) : plain
}

function plainDefault(node: AvroNode, json: unknown): unknown {
  switch (node.kind) {
    case 'bytes':
    case 'fixed':
      return new Uint8Array(Buffer.from(json as string, 'latin1'))
    case 'array':
      return (json as unknown[]).map((item) => defaultValue(node.items, item))
    case 'map': {
      const map = Object.create(null) as Record<string, unknown>
      for (const [key, value] of Object.entries(json as object)) map[key] = defaultValue(node.values, value)
      return map
    }
    case 'record': {
      const given = json as Record<string, unknown>
      return Object.fromEntries(
        node.fields.map((field) => [
          field.name,
          defaultValue(field.type, Object.hasOwn(given, field.name) ? given[field.name] : field.fallback),
        ]),
      )
    }
    case 'union': {
      const branch = node.branches.find((candidate) => fits(candidate, json)) ?? node.branches[0]!
      const value = defaultValue(branch, json)
      return value !== null && isWrappedUnion(node.branches) ? { [typeLabel(branch)]: value } : value
    }
    case 'null':
    case 'boolean':
    case 'int':
    case 'long':
    case 'float':
    case 'double':
    case 'string':
    case 'enum':
      return json
    default:
      return node satisfies never
  }
}

function fits(node: AvroNode, json: unknown): boolean {
  switch (node.kind) {
    case 'null':
      return json === null
    case 'boolean':
      return typeof json === 'boolean'
    case 'int':
    case 'long':
      return Number.isInteger(json)
    case 'float':
    case 'double':
      return typeof json === 'number'
    case 'string':
    case 'bytes':
    case 'fixed':
      return typeof json === 'string'
    case 'enum':
      return typeof json === 'string' && node.symbols.includes(json)
    case 'array':
      return Array.isArray(json)
    case 'map':
    case 'record':
      return typeof json === 'object' && json !== null && !Array.isArray(json)
    case 'union':
      return false
    default:
      return node satisfies never
  }
}
