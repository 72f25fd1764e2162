import { compileReader, ResolutionError } from './avro-reader.ts'
import { parseAvsc } from './avro-schema.ts'

/**
 * Why records written with `written` cannot all be read with `next`; empty = backward compatible. Field by field as Avro resolves
 * schemas, so the reason names the field, which registries mostly do not. @throws MeshError MESH_CONTRACT_SCHEMA
 */
export function incompatibilities(next: string, written: string): string[] {
  try {
    compileReader(parseAvsc(written), parseAvsc(next), { strict: true })
    return []
  } catch (error) {
    if (error instanceof ResolutionError) return [error.message]
    throw error
  }
}
