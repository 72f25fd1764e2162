import { MeshError } from '@mesh/shared/core/errors'
import { type FastAvroCodec, frameSchemaId } from '@mesh/shared/schema/avro-codec'

/**
 * The schemas that joined rows were written with. One that the registry does not have, or cannot give now, is a matter of who looks
 * such a row up, and of nobody else.
 */
export type RowSchemas = {
  prepare(values: Iterable<Uint8Array | null>): Promise<void>
  /** Never rejects: what cannot be had is asked for again when a row of it is looked up. */
  prepareIds(ids: Iterable<number>): Promise<void>
  /** @throws MeshError why the row cannot be read now; the schema is asked for once more in the background. */
  decode(framed: Uint8Array, place: string): Record<string, unknown>
}

export function createRowSchemas(codec: Pick<FastAvroCodec, 'decodeSync' | 'prepare'>): RowSchemas {
  const known = new Set<number>()
  const problems = new Map<number, unknown>()
  const asked = new Map<number, Promise<void>>()

  function ask(id: number): Promise<void> {
    if (known.has(id)) return Promise.resolve()
    const asking =
      asked.get(id) ??
      codec.prepare([id]).then(
        () => {
          known.add(id)
          problems.delete(id)
          asked.delete(id)
        },
        (error: unknown) => {
          problems.set(id, error)
          asked.delete(id)
        },
      )
    if (!known.has(id)) asked.set(id, asking)
    return asking
  }

  async function prepareIds(ids: Iterable<number>): Promise<void> {
    await Promise.all([...new Set(ids)].map(ask))
  }

  return {
    // A schema that could not be had is not waited for again with every batch.
    prepare: (values) => prepareIds([...schemaIds(values)].filter((id) => !problems.has(id))),
    prepareIds,
    decode(framed, place) {
      const found = codec.decodeSync(framed)
      if (found !== null) return found.record
      const id = frameSchemaId(framed)
      const cause = problems.get(id)
      void ask(id)
      throw new MeshError('MESH_JOIN_TABLE_AWAY', `the schema ${id} of a joined row is not to be had`, {
        place,
        ...(cause === undefined ? {} : { cause }),
      })
    },
  }
}

/** Without those of values that are not framed: whoever looks one up is told. */
export function schemaIds(values: Iterable<Uint8Array | null>): Set<number> {
  const ids = new Set<number>()
  for (const value of values) if (value !== null && isFramed(value)) ids.add(frameSchemaId(value))
  return ids
}

const isFramed = (value: Uint8Array): boolean => value.length >= 5 && value[0] === 0
