import { dirname, join } from 'node:path'
import type { JoinedRow } from '@mesh/enricher/core/joins'
import type { Contract } from '@mesh/shared/core/contract'
import { MeshError } from '@mesh/shared/core/errors'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { loadStreamFolder } from '@mesh/shared/schema/stream-folder'

/** stream → key → record. */
export type Rows = Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, unknown>>>>>>
export type Table = ReadonlyMap<string, JoinedRow>

/** The rows as the enricher holds them: written and read by the joined stream's own schema, so that a row that cannot be is refused. */
export async function readTables(contract: Contract, rows: Rows, folder: string): Promise<Map<string, Table>> {
  const joined = new Set(contract.refine.joins.map(({ stream }) => stream))
  const tables = new Map<string, Table>()
  for (const [stream, byKey] of Object.entries(rows)) {
    if (!joined.has(stream)) {
      const names = [...joined].join(', ') || 'none'
      throw new MeshError('MESH_STREAM_JOIN_UNKNOWN', `the stream does not join ${stream}; it joins: ${names}`)
    }
    const { refinedAvsc } = await loadStreamFolder(join(dirname(folder), stream))
    const codec = createAvroCodec({ schemaById: () => Promise.resolve(refinedAvsc) })
    const table = new Map<string, JoinedRow>()
    let offset = 0
    for (const [key, row] of Object.entries(byKey)) {
      const { record } = await codec.decode(codec.encode(1, refinedAvsc, row))
      table.set(key, { record: Object.freeze(record), src: `main;${stream};0;${offset++};0` })
    }
    tables.set(stream, table)
  }
  return tables
}
