import { join } from 'node:path'
import type { TableStore } from '../core/table-store.ts'
import type { TableId } from './join-tables.ts'
import { openSqliteTableStore } from './sqlite-table-store.ts'
import { removeVersionFolders } from './version-folders.ts'

export type TableFolder = {
  readonly open: (id: TableId, identity: string) => TableStore
  /** Removes the tables of other versions than these: they are retired. One that is still open goes when it is closed. */
  readonly retain: (versions: readonly { readonly stream: string; readonly version: number }[]) => void
}

/** Pages of each table's file in memory: of all partitions together, or of one. */
const PAGE_CACHE_BYTES = 8_388_608
const PARTITION_CACHE_BYTES = 2_097_152

/** A file for each table: `<stream>/v<N>/latest.db` of all partitions, `latest-p<N>.db` of one; or by its history. */
export function createTableFolder(dir: string): TableFolder {
  return {
    open({ stream, version, historyMs, partition }, identity) {
      const rows = historyMs === null ? 'latest' : `history-${historyMs}`
      const name = partition === null ? `${rows}.db` : `${rows}-p${partition}.db`
      const path = join(dir, stream, `v${version}`, name)
      const cacheBytes = partition === null ? PAGE_CACHE_BYTES : PARTITION_CACHE_BYTES
      return openSqliteTableStore({ path, identity, historyMs, cacheBytes })
    },
    retain: (versions) => removeVersionFolders(dir, versions),
  }
}
