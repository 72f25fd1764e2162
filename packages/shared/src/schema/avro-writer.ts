import { Buffer } from 'node:buffer'
import { defaultValue } from './avro-default.ts'
import type { AvroNode, AvroRecord } from './avro-schema.ts'
import { typeLabel } from './avro-schema.ts'
import {
  conversionOf,
  describeValue,
  isWrappedUnion,
  kindOf,
  toBytes,
  toDouble,
  toFloat,
  toInt,
  toLong,
  toText,
  ValueError,
  valueKind,
} from './value-model.ts'

/** Where Avro bytes go: grows as needed; the owner resets `pos` and copies the result. */
export type Sink = { buf: Buffer; pos: number }
export type Writer = (sink: Sink, value: unknown) => void

const MAX_KEPT_BYTES = 1 << 20

export function createSink(): Sink {
  return { buf: Buffer.allocUnsafeSlow(16_384), pos: 0 }
}

/** A sink that one huge record has grown is not kept. */
export function resetSink(sink: Sink): void {
  if (sink.buf.length > MAX_KEPT_BYTES) sink.buf = Buffer.allocUnsafeSlow(16_384)
  sink.pos = 0
}

/** Compiles the writer of a schema. Writers throw `ValueError` with the field path; the sink's content is then void. */
export function compileWriter(node: AvroNode): Writer {
  return writerOf(node, new Map())
}

function writerOf(node: AvroNode, seen: Map<AvroNode, Writer>): Writer {
  const known = seen.get(node)
  if (known) return known
  // A recursive schema meets itself while being compiled: it calls through this until the writer exists.
  let ready: Writer | null = null
  seen.set(node, (sink, value) => ready!(sink, value))
  const plain = plainWriter(node, seen)
  const conversion = conversionOf(node)
  const writer: Writer = conversion ? (sink, value) => plain(sink, conversion.toAvro(value)) : plain
  ready = writer
  seen.set(node, writer)
  return writer
}

function plainWriter(node: AvroNode, seen: Map<AvroNode, Writer>): Writer {
  switch (node.kind) {
    case 'null':
      return writeNull
    case 'boolean':
      return writeBoolean
    case 'int':
      return (sink, value) => writeLong(sink, toInt(value))
    case 'long':
      return (sink, value) => writeLong(sink, toLong(value))
    case 'float':
      return (sink, value) => {
        const number = toFloat(value)
        reserve(sink, 4)
        sink.pos = sink.buf.writeFloatLE(number, sink.pos)
      }
    case 'double':
      return (sink, value) => {
        const number = toDouble(value)
        reserve(sink, 8)
        sink.pos = sink.buf.writeDoubleLE(number, sink.pos)
      }
    case 'string':
      return writeString
    case 'bytes':
      return (sink, value) => {
        const bytes = toBytes(value)
        writeLong(sink, bytes.length)
        writeRaw(sink, bytes)
      }
    case 'fixed':
      return (sink, value) => {
        const bytes = toBytes(value)
        if (bytes.length !== node.size) throw new ValueError(`${bytes.length} bytes are not ${node.size}`)
        writeRaw(sink, bytes)
      }
    case 'enum': {
      const indices = new Map(node.symbols.map((symbol, i) => [symbol, i]))
      return (sink, value) => {
        const index = typeof value === 'string' ? indices.get(value) : undefined
        if (index === undefined) throw new ValueError(`${describeValue(value)} is no symbol of ${node.name}`)
        writeLong(sink, index)
      }
    }
    case 'array':
      return arrayWriter(writerOf(node.items, seen))
    case 'map':
      return mapWriter(writerOf(node.values, seen))
    case 'union':
      return unionWriter(node.branches, seen)
    case 'record':
      return recordWriter(node, seen)
    default:
      return node satisfies never
  }
}

function recordWriter(node: AvroRecord, seen: Map<AvroNode, Writer>): Writer {
  const known = new Set(node.fields.map((field) => field.name))
  const fields = node.fields.map((field) => ({
    name: field.name,
    write: writerOf(field.type, seen),
    optional: field.fallback !== undefined,
    fallback: field.fallback === undefined ? undefined : defaultValue(field.type, field.fallback),
    // A plain object inherits these names: only an own property counts.
    inherited: field.name in Object.prototype,
  }))
  return function writeRecord(sink, value) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
      throw new ValueError(`${describeValue(value)} is no ${node.name}`)
    }
    const record = value as Record<string, unknown>
    let present = 0
    let i = 0
    try {
      for (; i < fields.length; i++) {
        const field = fields[i]!
        let item = field.inherited && !Object.hasOwn(record, field.name) ? undefined : record[field.name]
        if (item !== undefined) present++
        else if (field.optional) item = field.fallback
        else throw new ValueError('the field is missing and has no default')
        field.write(sink, item)
      }
    } catch (error) {
      throw at(fields[i]!.name, error)
    }
    if (Object.keys(record).length !== present) refuseUnknown(record, known, node.name)
  }
}

function refuseUnknown(record: Record<string, unknown>, known: ReadonlySet<string>, name: string): void {
  for (const key of Object.keys(record)) {
    if (!known.has(key)) throw at(key, new ValueError(`${name} has no such field`))
  }
}

function unionWriter(branches: readonly AvroNode[], seen: Map<AvroNode, Writer>): Writer {
  const writers = branches.map((branch) => writerOf(branch, seen))
  const wrapped = isWrappedUnion(branches)
  const names = new Map(branches.map((branch, i) => [wrapped ? typeLabel(branch) : valueKind(branch), i]))
  const nullIndex = branches.findIndex((branch) => branch.kind === 'null')
  const lone = branches.length === 2 && nullIndex !== -1 ? 1 - nullIndex : -1
  return function writeUnion(sink, value) {
    if (value === null && nullIndex !== -1) return writeLong(sink, nullIndex)
    if (lone !== -1) {
      // `T | null`: T's own writer says best what is wrong with a value.
      writeLong(sink, lone)
      return writers[lone]!(sink, value)
    }
    const [name, inner] = wrapped ? unwrap(value) : [kindOf(value), value]
    const index = names.get(name)
    if (index === undefined) {
      const form = wrapped ? `{ branch: value } with a branch of` : 'a value of'
      throw new ValueError(`${describeValue(value)} is not ${form} ${branches.map(typeLabel).join(' | ')}`)
    }
    writeLong(sink, index)
    writers[index]!(sink, inner)
  }
}

function unwrap(value: unknown): [string, unknown] {
  if (kindOf(value) !== 'object') return ['', undefined]
  const entries = Object.entries(value as object)
  return entries.length === 1 ? entries[0]! : ['', undefined]
}

function arrayWriter(write: Writer): Writer {
  return function writeArray(sink, value) {
    if (!Array.isArray(value)) throw new ValueError(`${describeValue(value)} is no array`)
    if (value.length > 0) {
      writeLong(sink, value.length)
      for (let i = 0; i < value.length; i++) {
        try {
          write(sink, value[i])
        } catch (error) {
          throw at(String(i), error)
        }
      }
    }
    writeLong(sink, 0)
  }
}

/** Keys are sorted (by UTF-16 unit), so equal maps have equal bytes. */
function mapWriter(write: Writer): Writer {
  return function writeMap(sink, value) {
    if (kindOf(value) !== 'object') throw new ValueError(`${describeValue(value)} is no map`)
    const map = value as Record<string, unknown>
    const keys = Object.keys(map).sort()
    if (keys.length > 0) {
      writeLong(sink, keys.length)
      for (const key of keys) {
        try {
          writeString(sink, key)
          write(sink, map[key])
        } catch (error) {
          throw at(key, error)
        }
      }
    }
    writeLong(sink, 0)
  }
}

function writeNull(_sink: Sink, value: unknown): void {
  if (value !== null) throw new ValueError(`${describeValue(value)} is not null`)
}

function writeBoolean(sink: Sink, value: unknown): void {
  if (typeof value !== 'boolean') throw new ValueError(`${describeValue(value)} is no boolean`)
  reserve(sink, 1)
  sink.buf[sink.pos++] = value ? 1 : 0
}

/** Zigzag varint. */
export function writeLong(sink: Sink, value: number | bigint): void {
  reserve(sink, 10)
  const { buf } = sink
  if (typeof value === 'number' && value >= 0 && value < 64) {
    buf[sink.pos++] = value * 2
    return
  }
  if (typeof value === 'bigint' || value > 0xfffffffffffff || value < -0xfffffffffffff) {
    return writeBigLong(sink, BigInt(value))
  }
  let n = value >= 0 ? value * 2 : -value * 2 - 1
  while (n >= 0x80000000) {
    buf[sink.pos++] = (n % 128) | 0x80
    n = Math.floor(n / 128)
  }
  while (n >= 0x80) {
    buf[sink.pos++] = (n & 0x7f) | 0x80
    n >>>= 7
  }
  buf[sink.pos++] = n
}

function writeBigLong(sink: Sink, value: bigint): void {
  let n = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
  while (n >= 0x80n) {
    sink.buf[sink.pos++] = Number(n & 0x7fn) | 0x80
    n >>= 7n
  }
  sink.buf[sink.pos++] = Number(n)
}

const SHORT_TEXT = 32

function writeString(sink: Sink, value: unknown): void {
  // ASCII has no lone surrogates to look for.
  if (typeof value === 'string' && value.length <= SHORT_TEXT && writeAscii(sink, value)) return
  const text = toText(value)
  const bytes = Buffer.byteLength(text)
  writeLong(sink, bytes)
  reserve(sink, bytes)
  sink.pos += sink.buf.write(text, sink.pos, bytes, 'utf8')
}

/** A short text is nearly always ASCII: a loop beats the call into native code. False = nothing written. */
function writeAscii(sink: Sink, text: string): boolean {
  const { length } = text
  reserve(sink, length + 1)
  const { buf, pos } = sink
  for (let i = 0; i < length; i++) {
    const c = text.charCodeAt(i)
    if (c > 0x7f) return false
    buf[pos + 1 + i] = c
  }
  buf[pos] = length * 2
  sink.pos = pos + 1 + length
  return true
}

function writeRaw(sink: Sink, bytes: Uint8Array): void {
  reserve(sink, bytes.length)
  sink.buf.set(bytes, sink.pos)
  sink.pos += bytes.length
}

function reserve(sink: Sink, bytes: number): void {
  if (sink.pos + bytes <= sink.buf.length) return
  const grown = Buffer.allocUnsafeSlow(Math.max(sink.buf.length * 2, sink.pos + bytes))
  sink.buf.copy(grown, 0, 0, sink.pos)
  sink.buf = grown
}

function at(name: string, error: unknown): unknown {
  if (error instanceof ValueError) error.path.unshift(name)
  return error
}
