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

/** Pages of each table's file in memory. */
const PAGE_CACHE_BYTES = 8_388_608

/** A file for each table: `<stream>/v<N>/latest.db`, or by its history. */
export function createTableFolder(dir: string): TableFolder {
  return {
    open({ stream, version, historyMs }, identity) {
      const name = historyMs === null ? 'latest.db' : `history-${historyMs}.db`
      const path = join(dir, stream, `v${version}`, name)
      return openSqliteTableStore({ path, identity, historyMs, cacheBytes: PAGE_CACHE_BYTES })
    },
    retain: (versions) => removeVersionFolders(dir, versions),
  }
}
