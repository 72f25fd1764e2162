import { DuckDBInstance } from '@duckdb/node-api'
import { MeshError } from '@mesh/shared/core/errors'
import type { Service } from '@mesh/shared/runtime/service'
import { holder, isLockError } from './duckdb-file.ts'

/**
 * One warehouse-sink per DuckDB warehouse: holds the operating system's lock on `<warehouse>.writer` for as long as the process
 * lives. The kernel lets go of it however the process ends, so there is no stale lock to judge, also not across containers where
 * process ids mean nothing. (The warehouse file itself is locked only while it is written.)
 */
export function createWriterLock(warehousePath: string): Service {
  const path = `${warehousePath}.writer`
  let held: DuckDBInstance | null = null
  return {
    async start() {
      try {
        held = await DuckDBInstance.create(path, { threads: '1', memory_limit: '16MB' })
      } catch (error) {
        if (!isLockError(error)) throw error
        throw new MeshError('MESH_WAREHOUSE_SECOND_WRITER', `${holder(error)} writes this warehouse`, { place: path })
      }
    },
    async stop() {
      held?.closeSync()
      held = null
    },
  }
}
