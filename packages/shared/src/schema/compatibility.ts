import { compileReader, ResolutionError } from './avro-reader.ts'
import { parseAvsc } from './avro-schema.ts'
import { describeChange, schemaChanges } from './schema-changes.ts'

/**
 * Why records written with `written` cannot all be read with `next`, every reason by its field; empty = backward compatible. Whether
 * they can is decided by the very resolution that readers use; registries mostly give no reason. @throws MeshError MESH_CONTRACT_SCHEMA
 */
export function incompatibilities(next: string, written: string): string[] {
  try {
    compileReader(parseAvsc(written), parseAvsc(next), { strict: true })
    return []
  } catch (error) {
    if (!(error instanceof ResolutionError)) throw error
    const reasons = schemaChanges(next, written)
      .filter(({ safe }) => !safe)
      .map(describeChange)
    return reasons.length > 0 ? reasons : [error.message]
  }
}
