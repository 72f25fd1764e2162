import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { BookId } from '../core/books.ts'
import { createKeyedState, type KeyedState, type KeyedStore } from '../core/keyed-state.ts'
import { removeOthers } from './version-folders.ts'

/** Opens the keyed state of a raw partition under a version; the folder may be lost, then it is read from the log again. */
export function openKeyedState(dir: string, { stream, version, rawTopicId, partition }: BookId): KeyedState {
  const folder = join(dir, folderOf({ stream, version }))
  mkdirSync(folder, { recursive: true })
  return createKeyedState(createSqliteKeyedStore(join(folder, `${rawTopicId}-${partition}.sqlite`)))
}

/** Removes the histories of other versions than these: they are retired. */
export function retainKeyedStates(dir: string, versions: readonly Pick<BookId, 'stream' | 'version'>[]): void {
  removeOthers(dir, new Set(versions.map(folderOf)))
}

const folderOf = ({ stream, version }: Pick<BookId, 'stream' | 'version'>): string => `${stream}.v${version}`

/**
 * One SQLite file per partition. A write is one transaction that holds the position too. It survives the process; a power cut may
 * take the last ones back, which only means that more of the log is read again.
 */
export function createSqliteKeyedStore(file: string): KeyedStore {
  const database = new DatabaseSync(file)
  database.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS history (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS position (id INTEGER PRIMARY KEY CHECK (id = 0), next INTEGER NOT NULL);
  `)
  const find = database.prepare('SELECT value FROM history WHERE key = ?')
  const put = database.prepare(
    'INSERT INTO history VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
  )
  const move = database.prepare(
    'INSERT INTO position VALUES (0, ?) ON CONFLICT (id) DO UPDATE SET next = excluded.next',
  )
  const where = database.prepare('SELECT next FROM position')
  let at = Number(where.get()?.['next'] ?? 0)

  function inTransaction(work: () => void): void {
    database.exec('BEGIN IMMEDIATE')
    try {
      work()
      database.exec('COMMIT')
    } catch (error) {
      database.exec('ROLLBACK')
      throw error
    }
  }

  return {
    at: () => at,
    get: (key) => (find.get(key)?.['value'] as string | undefined) ?? null,
    write(next, entries) {
      inTransaction(() => {
        for (const [key, value] of entries) put.run(key, value)
        move.run(next)
      })
      at = next
    },
    clear() {
      inTransaction(() => {
        database.exec('DELETE FROM history; DELETE FROM position')
      })
      at = 0
    },
    close: () => database.close(),
  }
}
