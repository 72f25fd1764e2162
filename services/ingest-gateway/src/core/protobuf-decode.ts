import { MeshError } from '@mesh/shared/core/errors'
import protobuf from 'protobufjs'

/** A file that a schema imports, by the name it imports it under. */
export type ProtobufFile = { readonly name: string; readonly text: string }

const OBJECT = { longs: BigInt, enums: String, bytes: Buffer, defaults: true, arrays: true, objects: true } as const

/**
 * Decodes Protobuf behind a registry's frame: first the path of the message type inside its file (a count and that many indexes as
 * zig-zag varints; a single 0 stands for the first type), then the message. Field names as in the schema.
 */
export function compileProtobuf(schema: string, files: readonly ProtobufFile[]): (payload: Uint8Array) => unknown {
  const root = new protobuf.Root()
  for (const { text } of files) protobuf.parse(text, root, { keepCase: true })
  const own = new protobuf.Root()
  protobuf.parse(schema, own, { keepCase: true })
  const parsed = protobuf.parse(schema, root, { keepCase: true })
  for (const name of parsed.imports ?? []) {
    const known = protobuf.common.get(name)
    if (known?.nested) root.addJSON(known.nested)
  }
  root.resolveAll()

  return function decode(payload) {
    const reader = protobuf.Reader.create(payload)
    const type = typeAt(own, parsed.package ?? null, readIndexes(reader))
    const found = root.lookupType(type.fullName)
    return found.toObject(found.decode(reader), OBJECT as never)
  }
}

function readIndexes(reader: protobuf.Reader): number[] {
  const count = reader.sint32()
  if (count < 0 || count > 100)
    throw new MeshError('MESH_SOURCE_DECODE', 'the path of the message type is not readable')
  return count === 0 ? [0] : Array.from({ length: count }, () => reader.sint32())
}

function typeAt(file: protobuf.Root, name: string | null, indexes: readonly number[]): protobuf.Type {
  let here: protobuf.NamespaceBase = name === null ? file : (file.lookup(name) as protobuf.Namespace)
  for (const index of indexes) {
    const type = here.nestedArray.filter((each) => each instanceof protobuf.Type)[index]
    if (!type) throw new MeshError('MESH_SOURCE_DECODE', `the schema has no message type ${indexes.join('/')}`)
    here = type
  }
  return here as protobuf.Type
}
