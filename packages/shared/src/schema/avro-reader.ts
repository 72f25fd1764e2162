import { defaultValue } from './avro-default.ts'
import type { AvroNode, AvroRecord } from './avro-schema.ts'
import { typeLabel } from './avro-schema.ts'
import type { Source } from './avro-source.ts'
import {
  readBoolean,
  readBytes,
  readCount,
  readDouble,
  readFloat,
  readInt,
  readLong,
  readText,
  skipperOf,
} from './avro-source.ts'
import { conversionOf, isWrappedUnion, toDouble, toFloat, ValueError } from './value-model.ts'

export type Reader = (source: Source) => unknown

/** The writer's schema cannot be read as the reader's: field path and reason. */
export class ResolutionError extends Error {
  constructor(path: readonly string[], reason: string) {
    super(path.length > 0 ? `${path.join('.')}: ${reason}` : reason)
    this.name = 'ResolutionError'
  }
}

type Context = {
  readonly seen: Map<AvroNode, Map<AvroNode, Reader>>
  readonly path: readonly string[]
  /** True: a value that only some records could hold and the reader cannot take is an error at once (compatibility check). */
  readonly strict: boolean
}

/**
 * Compiles Avro's schema resolution of `writer` into `reader` (pass the same node twice to read as written).
 * @throws ResolutionError when no value, or with `strict` not every value, of the writer can be read.
 */
export function compileReader(writer: AvroNode, reader: AvroNode, options: { strict?: boolean } = {}): Reader {
  return readerOf(writer, reader, { seen: new Map(), path: [], strict: options.strict ?? false })
}

function readerOf(writer: AvroNode, reader: AvroNode, context: Context): Reader {
  const pairs = context.seen.get(writer) ?? new Map<AvroNode, Reader>()
  context.seen.set(writer, pairs)
  const known = pairs.get(reader)
  if (known) return known
  // A recursive schema meets itself while being compiled: it calls through this until the reader exists.
  let ready: Reader | null = null
  pairs.set(reader, (source) => ready!(source))
  try {
    ready = resolve(writer, reader, context)
  } catch (error) {
    pairs.delete(reader)
    throw error
  }
  pairs.set(reader, ready)
  return ready
}

function resolve(writer: AvroNode, reader: AvroNode, context: Context): Reader {
  if (writer.kind === 'union') return fromUnion(writer.branches, reader, context)
  if (reader.kind === 'union') return intoUnion(writer, reader.branches, context)
  checkLogical(writer, reader, context)
  const plain = plainReader(writer, reader, context)
  const conversion = conversionOf(reader)
  if (!conversion) return plain
  const convert = conversion.fromAvro as (value: unknown) => unknown
  return (source) => convert(plain(source))
}

function plainReader(writer: AvroNode, reader: AvroNode, context: Context): Reader {
  const scalar = scalarReader(writer.kind, reader.kind)
  if (scalar) return scalar
  if (writer.kind === 'record' && reader.kind === 'record' && sameName(writer, reader)) {
    return recordReader(writer, reader, context)
  }
  if (writer.kind === 'array' && reader.kind === 'array') return arrayReader(writer.items, reader.items, context)
  if (writer.kind === 'map' && reader.kind === 'map') return mapReader(writer.values, reader.values, context)
  if (writer.kind === 'fixed' && reader.kind === 'fixed' && sameName(writer, reader) && writer.size === reader.size) {
    return (source) => readBytes(source, writer.size)
  }
  if (writer.kind === 'enum' && reader.kind === 'enum' && sameName(writer, reader)) {
    return enumReader(writer, reader, context)
  }
  throw new ResolutionError(context.path, `${typeLabel(writer)} cannot be read as ${typeLabel(reader)}`)
}

/** Scalars of equal type, and Avro's promotions. A promotion that would round throws while reading. */
function scalarReader(writer: AvroNode['kind'], reader: AvroNode['kind']): Reader | null {
  switch (`${writer}>${reader}`) {
    case 'null>null':
      return () => null
    case 'boolean>boolean':
      return readBoolean
    case 'int>int':
    case 'int>long':
    case 'int>float':
    case 'int>double':
      return readInt
    case 'long>long':
      return readLong
    case 'long>double':
      return (source) => toDouble(readLong(source))
    case 'long>float':
      return (source) => toFloat(readLong(source))
    case 'float>float':
    case 'float>double':
      return readFloat
    case 'double>double':
      return readDouble
    case 'string>string':
    case 'bytes>string':
      return readText
    case 'bytes>bytes':
    case 'string>bytes':
      return (source) => readBytes(source, readCount(source))
    default:
      return null
  }
}

/**
 * Builds the reader of a record as one generated function: an object literal is by far the fastest way to make many objects of
 * one shape. Only field names of the schema (Avro names, checked by avsc, and quoted) enter the source text.
 */
function recordReader(writer: AvroRecord, reader: AvroRecord, context: Context): Reader {
  const steps: string[] = []
  const calls: unknown[] = []
  const values = new Map<string, string>()
  for (const field of writer.fields) {
    const target = reader.fields.find((f) => f.name === field.name || f.aliases.includes(field.name))
    const call = target
      ? readerOf(field.type, target.type, { ...context, path: [...context.path, target.name] })
      : skipperOf(field.type)
    const slot = calls.push(call) - 1
    steps.push(target ? `const v${slot} = c${slot}(source)` : `c${slot}(source)`)
    if (target) values.set(target.name, `v${slot}`)
  }
  for (const field of reader.fields) {
    if (values.has(field.name)) continue
    if (field.fallback === undefined) {
      throw new ResolutionError([...context.path, field.name], 'the field is new and has no default')
    }
    // Evaluated per record: a default that is an object must not be shared.
    const slot = calls.push(() => defaultValue(field.type, field.fallback)) - 1
    values.set(field.name, `c${slot}()`)
  }
  const properties = reader.fields.map((f) => `${propertyKey(f.name)}: ${values.get(f.name)!}`).join(', ')
  const body = `return function readRecord(source) { ${steps.join('; ')}; return { ${properties} } }`
  // oxlint-disable-next-line typescript/no-implied-eval
  return new Function(...calls.map((_, i) => `c${i}`), body)(...calls) as Reader
}

/** A literal `__proto__` would set the prototype; a computed name makes it a field like others. */
const propertyKey = (name: string): string => (name === '__proto__' ? `["__proto__"]` : JSON.stringify(name))

function arrayReader(writer: AvroNode, reader: AvroNode, context: Context): Reader {
  const read = readerOf(writer, reader, { ...context, path: [...context.path, '[]'] })
  return function readArray(source) {
    const items: unknown[] = []
    for (let n = readBlock(source); n > 0; n = readBlock(source)) {
      for (let i = 0; i < n; i++) items.push(read(source))
    }
    return items
  }
}

function mapReader(writer: AvroNode, reader: AvroNode, context: Context): Reader {
  const read = readerOf(writer, reader, { ...context, path: [...context.path, '{}'] })
  return function readMap(source) {
    const map = Object.create(null) as Record<string, unknown>
    for (let n = readBlock(source); n > 0; n = readBlock(source)) {
      for (let i = 0; i < n; i++) {
        const key = readText(source)
        map[key] = read(source)
      }
    }
    return map
  }
}

/** The item count of the next block of an array or map; a negative one is followed by the block's size in bytes. */
function readBlock(source: Source): number {
  const count = Number(readLong(source))
  if (count >= 0) return readable(source, count)
  readLong(source)
  return readable(source, -count)
}

function readable(source: Source, count: number): number {
  // Items of no width (null) are the only ones that may outnumber the bytes left; a million is plenty.
  if (count > source.end - source.pos && count > 1_000_000)
    throw new ValueError('a block is longer than the bytes left')
  if (source.pos > source.end) throw new ValueError('the bytes end too early')
  return count
}

type Enum = Extract<AvroNode, { kind: 'enum' }>

function enumReader(writer: Enum, reader: Enum, context: Context): Reader {
  const symbols = writer.symbols.map((s) => (reader.symbols.includes(s) ? s : reader.fallback))
  const lost = symbols.indexOf(null)
  if (lost !== -1 && context.strict) {
    throw new ResolutionError(context.path, `symbol ${writer.symbols[lost]} is gone and ${reader.name} has no default`)
  }
  return function readEnum(source) {
    const symbol = symbols[readInt(source)]
    if (symbol === null || symbol === undefined) throw new ValueError(`a symbol is not known to ${reader.name}`)
    return symbol
  }
}

function fromUnion(branches: readonly AvroNode[], reader: AvroNode, context: Context): Reader {
  const readers = branches.map((branch): Reader => {
    try {
      return readerOf(branch, reader, context)
    } catch (error) {
      if (context.strict || !(error instanceof ResolutionError)) throw error
      return () => {
        throw new ValueError(error.message)
      }
    }
  })
  return function readUnion(source) {
    const read = readers[readInt(source)]
    if (!read) throw new ValueError('a union branch is out of range')
    return read(source)
  }
}

/** A value into a union: the branch of the same type, else the first that its type can be promoted to. */
function intoUnion(writer: AvroNode, branches: readonly AvroNode[], context: Context): Reader {
  const wrapped = isWrappedUnion(branches)
  const equal = branches.filter((branch) => typeLabel(branch) === typeLabel(writer))
  for (const branch of [...equal, ...branches]) {
    let read: Reader
    try {
      read = readerOf(writer, branch, context)
    } catch (error) {
      if (error instanceof ResolutionError && !equal.includes(branch)) continue
      throw error
    }
    if (!wrapped || branch.kind === 'null') return read
    const label = typeLabel(branch)
    return (source) => ({ [label]: read(source) })
  }
  const names = branches.map(typeLabel).join(' | ')
  throw new ResolutionError(context.path, `${typeLabel(writer)} cannot be read as ${names}`)
}

/** A changed unit or scale would change values without a word (Avro resolves only the underlying types): refused. */
function checkLogical(writer: AvroNode, reader: AvroNode, context: Context): void {
  const from = 'logical' in writer ? writer.logical : null
  const to = 'logical' in reader ? reader.logical : null
  const sameDecimal =
    from?.name === 'decimal' && to?.name === 'decimal' && from.scale === to.scale && from.precision <= to.precision
  if (from && to && !sameDecimal && JSON.stringify(from) !== JSON.stringify(to)) {
    throw new ResolutionError(context.path, `logical type ${from.name} became another one (${to.name}, unit or scale)`)
  }
}

/** Names match without their namespaces, or by an alias of the reader (Avro specification, schema resolution). */
function sameName(
  writer: { readonly name: string },
  reader: { readonly name: string; readonly aliases: readonly string[] },
): boolean {
  const bare = (name: string): string => name.slice(name.lastIndexOf('.') + 1)
  return [reader.name, ...reader.aliases].some((name) => bare(name) === bare(writer.name))
}
