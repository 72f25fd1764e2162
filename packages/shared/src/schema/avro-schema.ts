import avsc from 'avsc'
import { MeshError } from '../core/errors.ts'

/** A parsed Avro schema with its names resolved: the tree that writers, readers and columns are compiled from. May be cyclic. */
export type Logical =
  | { readonly name: 'decimal'; readonly precision: number; readonly scale: number }
  | { readonly name: 'date' | 'uuid' }
  | { readonly name: 'time' | 'timestamp' | 'local-timestamp'; readonly unit: 'millis' | 'micros' | 'nanos' }

export type AvroField = {
  readonly name: string
  readonly aliases: readonly string[]
  readonly type: AvroNode
  /** The default as JSON; undefined = none. */
  readonly fallback: unknown
  readonly doc: string | null
}
export type AvroRecord = {
  readonly kind: 'record'
  readonly name: string
  readonly aliases: readonly string[]
  readonly fields: readonly AvroField[]
}
export type AvroNode =
  | { readonly kind: 'null' | 'boolean' | 'float' | 'double' }
  | { readonly kind: 'int' | 'long' | 'bytes' | 'string'; readonly logical: Logical | null }
  | {
      readonly kind: 'fixed'
      readonly name: string
      readonly aliases: readonly string[]
      readonly size: number
      readonly logical: Logical | null
    }
  | {
      readonly kind: 'enum'
      readonly name: string
      readonly aliases: readonly string[]
      readonly symbols: readonly string[]
      readonly fallback: string | null
    }
  | { readonly kind: 'array'; readonly items: AvroNode }
  | { readonly kind: 'map'; readonly values: AvroNode }
  | { readonly kind: 'union'; readonly branches: readonly AvroNode[] }
  | AvroRecord

type Json = Readonly<Record<string, unknown>>
type Scope = { readonly names: Map<string, AvroNode>; readonly namespace: string }

const cache = new Map<string, AvroNode>()
const PRIMITIVES = new Set(['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'])

/**
 * Parses a schema text; cached per text (texts come from contracts and the registry: bounded). avsc checks the schema itself
 * (names, references, defaults). @throws MeshError MESH_CONTRACT_SCHEMA
 */
export function parseAvsc(text: string): AvroNode {
  const known = cache.get(text)
  if (known) return known
  try {
    const json = JSON.parse(text) as unknown
    avsc.Type.forSchema(structuredClone(json) as avsc.Schema)
    const node = build(json, { names: new Map(), namespace: '' })
    cache.set(text, node)
    return node
  } catch (error) {
    if (!(error instanceof Error)) throw error
    throw new MeshError('MESH_CONTRACT_SCHEMA', `the Avro schema is not valid: ${error.message}`, { cause: error })
  }
}

/** `parseAvsc` of a refined schema, whose top is a record. @throws MeshError MESH_CONTRACT_SCHEMA */
export function parseRecordAvsc(text: string): AvroRecord {
  const node = parseAvsc(text)
  if (node.kind !== 'record') throw new MeshError('MESH_CONTRACT_SCHEMA', `the schema is a ${node.kind}, not a record`)
  return node
}

/** The name by which a wrapped union and an error message call a type. */
export function typeLabel(node: AvroNode): string {
  return node.kind === 'record' || node.kind === 'enum' || node.kind === 'fixed' ? node.name : node.kind
}

function build(json: unknown, scope: Scope): AvroNode {
  if (typeof json === 'string') return reference(json, scope)
  if (Array.isArray(json)) return { kind: 'union', branches: json.map((branch) => build(branch, scope)) }
  const schema = json as Json
  const type = schema['type']
  if (typeof type !== 'string') return build(type, scope)
  switch (type) {
    case 'array':
      return { kind: 'array', items: build(schema['items'], scope) }
    case 'map':
      return { kind: 'map', values: build(schema['values'], scope) }
    case 'record':
    case 'error':
      return buildRecord(schema, scope)
    case 'enum':
      return register(schema, scope, (name, aliases) => ({
        kind: 'enum',
        name,
        aliases,
        symbols: schema['symbols'] as string[],
        fallback: (schema['default'] as string | undefined) ?? null,
      }))
    case 'fixed':
      return register(schema, scope, (name, aliases) => {
        const size = schema['size'] as number
        return { kind: 'fixed', name, aliases, size, logical: logicalOf(schema, 'fixed', size) }
      })
    case 'int':
    case 'long':
    case 'bytes':
    case 'string':
      return { kind: type, logical: logicalOf(schema, type, null) }
    default:
      return reference(type, scope)
  }
}

function reference(name: string, scope: Scope): AvroNode {
  if (PRIMITIVES.has(name)) {
    return name === 'int' || name === 'long' || name === 'bytes' || name === 'string'
      ? { kind: name, logical: null }
      : { kind: name as 'null' | 'boolean' | 'float' | 'double' }
  }
  const node = scope.names.get(qualify(name, scope.namespace)) ?? scope.names.get(name)
  if (!node) throw new Error(`undefined type name: ${name}`)
  return node
}

function buildRecord(schema: Json, scope: Scope): AvroNode {
  const fields: AvroField[] = []
  const record = register(schema, scope, (name, aliases) => ({ kind: 'record', name, aliases, fields }))
  const namespace = namespaceOf(typeLabel(record))
  for (const field of schema['fields'] as Json[]) {
    fields.push({
      name: field['name'] as string,
      aliases: (field['aliases'] as string[] | undefined) ?? [],
      type: build(field['type'], { names: scope.names, namespace }),
      fallback: field['default'],
      doc: typeof field['doc'] === 'string' ? field['doc'] : null,
    })
  }
  return record
}

function register(schema: Json, scope: Scope, make: (name: string, aliases: string[]) => AvroNode): AvroNode {
  const own = schema['namespace'] as string | undefined
  const name = qualify(schema['name'] as string, own ?? scope.namespace)
  const aliases = ((schema['aliases'] as string[] | undefined) ?? []).map((a) => qualify(a, namespaceOf(name)))
  const node = make(name, aliases)
  scope.names.set(name, node)
  return node
}

const qualify = (name: string, namespace: string): string =>
  name.includes('.') || namespace === '' ? name : `${namespace}.${name}`
const namespaceOf = (fullName: string): string => fullName.slice(0, Math.max(0, fullName.lastIndexOf('.')))

type LogicalBase = 'int' | 'long' | 'bytes' | 'string' | 'fixed'

/** An unknown logical type is its plain type (Avro specification); a known one on a wrong type or with wrong numbers is an error. */
function logicalOf(schema: Json, base: LogicalBase, size: number | null): Logical | null {
  const name = schema['logicalType']
  if (typeof name !== 'string') return null
  const wrong = (why: string): Error => new Error(`logical type ${name} on ${base}: ${why}`)
  const needs = (...bases: LogicalBase[]): void => {
    if (!bases.includes(base)) throw wrong(`it needs ${bases.join(' or ')}`)
  }
  const timed = /^(time|timestamp|local-timestamp)-(millis|micros|nanos)$/.exec(name)
  if (timed && !(timed[1] === 'time' && timed[2] === 'nanos')) {
    needs(name === 'time-millis' ? 'int' : 'long')
    return {
      name: timed[1] as 'time' | 'timestamp' | 'local-timestamp',
      unit: timed[2] as 'millis' | 'micros' | 'nanos',
    }
  }
  if (name === 'date') {
    needs('int')
    return { name }
  }
  if (name === 'uuid') {
    needs('string', 'fixed')
    if (size !== null && size !== 16) throw wrong('it needs 16 bytes')
    return { name }
  }
  if (name === 'decimal') {
    needs('bytes', 'fixed')
    const precision = schema['precision']
    const scale = schema['scale'] ?? 0
    if (!Number.isInteger(precision) || (precision as number) < 1) throw wrong('precision must be a positive integer')
    if (!Number.isInteger(scale) || (scale as number) < 0 || (scale as number) > (precision as number)) {
      throw wrong('scale must be between 0 and precision')
    }
    if (size !== null && 10n ** BigInt(precision as number) > 1n << BigInt(8 * size - 1)) {
      throw wrong(`precision does not fit ${size} bytes`)
    }
    return { name, precision: precision as number, scale: scale as number }
  }
  return null
}
