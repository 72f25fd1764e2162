import type { Buffer } from 'node:buffer'
import type { AvroNode } from './avro-schema.ts'
import { ValueError } from './value-model.ts'

/** Avro bytes being read, up to `end`. Scalars may run past the end: whoever finishes a value checks `pos <= end`. */
export type Source = { buf: Buffer; pos: number; end: number }

export function readBoolean(source: Source): boolean {
  const byte = source.buf[source.pos++]
  if (byte === 0) return false
  if (byte === 1) return true
  throw new ValueError('a boolean is neither 0 nor 1')
}

export function readInt(source: Source): number {
  const { buf } = source
  let b = buf[source.pos++]!
  if (b < 0x80) return (b >>> 1) ^ -(b & 1)
  let n = b & 0x7f
  for (let shift = 7; shift < 35; shift += 7) {
    b = buf[source.pos++]!
    n |= (b & 0x7f) << shift
    if (b < 0x80) return (n >>> 1) ^ -(n & 1)
  }
  throw new ValueError('an int is longer than 5 bytes or cut off')
}

/** Number when safe, else bigint. */
export function readLong(source: Source): number | bigint {
  const { buf } = source
  const start = source.pos
  let b = buf[source.pos++]!
  if (b < 0x80) return (b >>> 1) ^ -(b & 1)
  let n = b & 0x7f
  let scale = 128
  // Seven groups hold 49 bits: exact as a number, with the sign bit.
  for (let i = 1; i < 7; i++) {
    b = buf[source.pos++]!
    n += (b & 0x7f) * scale
    if (b < 0x80) return n % 2 === 0 ? n / 2 : -(n + 1) / 2
    scale *= 128
  }
  source.pos = start
  return readBigLong(source)
}

function readBigLong(source: Source): number | bigint {
  let n = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const b = source.buf[source.pos++]
    if (b === undefined) break
    n |= BigInt(b & 0x7f) << shift
    if (b < 0x80) {
      if (n >> 64n !== 0n) break
      const value = (n >> 1n) ^ -(n & 1n)
      const number = Number(value)
      return Number.isSafeInteger(number) ? number : value
    }
  }
  throw new ValueError('a long is longer than 64 bits or cut off')
}

export function readFloat(source: Source): number {
  const at = take(source, 4)
  return source.buf.readFloatLE(at)
}

export function readDouble(source: Source): number {
  const at = take(source, 8)
  return source.buf.readDoubleLE(at)
}

/** A length in bytes that the source can still hold. */
export function readCount(source: Source): number {
  const count = Number(readLong(source))
  if (count < 0 || count > source.end - source.pos) throw new ValueError('a length is beyond the bytes left')
  return count
}

export function readText(source: Source): string {
  const count = readCount(source)
  const from = source.pos
  source.pos += count
  return count === 0 ? '' : source.buf.toString('utf8', from, source.pos)
}

/** A copy: the value must not keep a fetch buffer alive. */
export function readBytes(source: Source, count: number): Uint8Array {
  const from = take(source, count)
  return new Uint8Array(source.buf.subarray(from, from + count))
}

function take(source: Source, count: number): number {
  const from = source.pos
  if (count > source.end - from) throw new ValueError('the bytes end too early')
  source.pos = from + count
  return from
}

export type Skipper = (source: Source) => void

/** Moves past a value without building it. */
export function skipperOf(node: AvroNode, seen: Map<AvroNode, Skipper> = new Map()): Skipper {
  const known = seen.get(node)
  if (known) return known
  let ready: Skipper | null = null
  seen.set(node, (source) => ready!(source))
  ready = plainSkipper(node, seen)
  seen.set(node, ready)
  return ready
}

function plainSkipper(node: AvroNode, seen: Map<AvroNode, Skipper>): Skipper {
  switch (node.kind) {
    case 'null':
      return () => {}
    case 'boolean':
      return (source) => void take(source, 1)
    case 'int':
    case 'enum':
      return (source) => void readInt(source)
    case 'long':
      return (source) => void readLong(source)
    case 'float':
      return (source) => void take(source, 4)
    case 'double':
      return (source) => void take(source, 8)
    case 'fixed':
      return (source) => void take(source, node.size)
    case 'bytes':
    case 'string':
      return (source) => void take(source, readCount(source))
    case 'record': {
      const fields = node.fields.map((field) => skipperOf(field.type, seen))
      return (source) => {
        for (const skip of fields) skip(source)
      }
    }
    case 'array':
      return blockSkipper(skipperOf(node.items, seen))
    case 'map': {
      const skipValue = skipperOf(node.values, seen)
      return blockSkipper((source) => {
        take(source, readCount(source))
        skipValue(source)
      })
    }
    case 'union': {
      const branches = node.branches.map((branch) => skipperOf(branch, seen))
      return (source) => {
        const skip = branches[readInt(source)]
        if (!skip) throw new ValueError('a union branch is out of range')
        skip(source)
      }
    }
    default:
      return node satisfies never
  }
}

function blockSkipper(skip: Skipper): Skipper {
  return (source) => {
    for (let n = Number(readLong(source)); n !== 0; n = Number(readLong(source))) {
      if (n < 0) take(source, readCount(source))
      else {
        for (let i = 0; i < n; i++) {
          if (source.pos > source.end) throw new ValueError('the bytes end too early')
          skip(source)
        }
      }
    }
  }
}
