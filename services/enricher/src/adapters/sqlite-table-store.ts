import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import type { HighestSrc } from '@mesh/shared/core/coordinate'
import { MeshError } from '@mesh/shared/core/errors'
import { placeOf, type RowAsOf, type TableRow, type TableStep, type TableStore } from '../core/table-store.ts'
import { schemaIds } from './row-schemas.ts'

export type SqliteTableOptions = {
  readonly path: string
  /** What the rows are of; a file with another identity is begun anew. */
  readonly identity: string
  readonly historyMs: number | null
  /** Bytes of the file's pages held in memory. */
  readonly cacheBytes: number
}

type Stored = { key: string; from: number; src: string; value: Uint8Array | null; sum: number }

/**
 * Rows and positions in one SQLite file, each batch in one transaction, so that a kill leaves rows and positions that belong together.
 * A file that is damaged is removed, never believed: its structure is checked on opening, every row's checksum when it is read.
 */
export function openSqliteTableStore(options: SqliteTableOptions): TableStore {
  const { path, historyMs } = options
  mkdirSync(dirname(path), { recursive: true })
  const savedAt = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? null
  const walSavedAt = statSync(`${path}-wal`, { throwIfNoEntry: false })?.mtimeMs ?? 0
  let db = openFile(options)
  let schemas = schemasOf(db)
  let statements = prepare(db, historyMs)
  let size = countRows(db)
  let newestMs = newestOf(db)
  let highest = highestOf(db)
  let positions = positionsOf(db)

  function put({ key, src, validFromMs, value }: TableRow): void {
    const [offset, index] = placeOf(src)
    const sum = checksum(key, src, value)
    if (historyMs === null) {
      size -= Number(statements.remove.run(key).changes)
      if (value === null) return
      statements.insert.run(key, 0, offset, index, validFromMs, src, value, sum)
      size++
      return
    }
    size += Number(statements.insert.run(key, validFromMs, offset, index, validFromMs, src, value, sum).changes)
    statements.supersede.run(offset, index, src, value, sum, key, validFromMs, offset, offset, index)
    newestMs = Math.max(newestMs, validFromMs)
    size -= Number(statements.prune.run(key, key, newestMs - historyMs).changes)
  }

  function apply(step: TableStep): void {
    db.exec('BEGIN IMMEDIATE')
    try {
      for (const row of step.rows) put(row)
      statements.position.run(step.partition, step.nextOffset)
      statements.meta.run('highest', JSON.stringify(step.highest))
      if (addSchemas(step.rows)) statements.meta.run('schemas', JSON.stringify([...schemas]))
      if (newestMs !== Number.NEGATIVE_INFINITY) statements.meta.run('newest', String(newestMs))
      db.exec('COMMIT')
    } catch (error) {
      throw damagedBy(error)
    }
    positions.set(step.partition, step.nextOffset)
    highest = step.highest
  }

  function addSchemas(rows: readonly TableRow[]): boolean {
    const before = schemas.size
    for (const id of schemaIds(rows.map(({ value }) => value))) schemas.add(id)
    return schemas.size > before
  }

  function one(statement: StatementSync, ...parameters: (string | number)[]): TableRow | null {
    let stored: Stored | undefined
    try {
      stored = statement.get(...parameters) as Stored | undefined
    } catch (error) {
      throw damagedBy(error)
    }
    if (stored === undefined) return null
    const { key, src, value, sum } = stored
    if (checksum(key, src, value) !== sum) throw damagedBy(new Error('the checksum of a row is wrong'))
    return { key, src, validFromMs: stored.from, value }
  }

  /** The process ends and the next one reads the topic from its start. */
  function damagedBy(cause: unknown): MeshError {
    db.close()
    removeFile(path)
    return new MeshError('MESH_STATE_DAMAGED', 'the file of a joined table cannot be read or written; it is removed', {
      place: path,
      cause,
    })
  }

  return {
    apply,
    latest: (key) => living(one(statements.latest, key)),
    asOf(key, atMs): RowAsOf {
      const beyond = atMs < newestMs - (historyMs ?? 0)
      const found = one(statements.asOf, key, atMs) ?? (beyond ? one(statements.oldest, key) : null)
      return { row: living(found), beyond }
    },
    positions: () => positions,
    highest: () => highest,
    schemaIds: () => [...schemas],
    savedAtMs: () => (savedAt === null ? null : Math.max(savedAt, walSavedAt)),
    size: () => size,
    diskBytes: () => FILE_SUFFIXES.reduce((sum, suffix) => sum + bytesOf(path + suffix), 0),
    clear() {
      db.close()
      removeFile(path)
      db = openFile(options)
      statements = prepare(db, historyMs)
      size = 0
      newestMs = Number.NEGATIVE_INFINITY
      highest = {}
      positions = new Map()
      schemas = new Set()
    },
    close: () => db.close(),
  }
}

const SQLITE_BUSY = 5

function inUse(path: string, cause: unknown): MeshError {
  return new MeshError('MESH_STATE_IN_USE', 'another process has the table open', { place: path, cause })
}

const FILE_SUFFIXES = ['', '-wal', '-shm']
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS positions(partition INTEGER PRIMARY KEY, next INTEGER);
  CREATE TABLE IF NOT EXISTS rows(
    key TEXT, version INTEGER, "offset" INTEGER, "index" INTEGER, "from" INTEGER, src TEXT, value BLOB, sum INTEGER,
    PRIMARY KEY(key, version)
  ) WITHOUT ROWID`

function openFile(options: SqliteTableOptions): DatabaseSync {
  const identity = `1 ${options.historyMs ?? 'latest'} ${options.identity}`
  const found = existsSync(options.path) ? tryOpen(options, identity) : null
  if (found !== null) return found
  removeFile(options.path)
  const db = tryOpen(options, null)
  if (db === null) throw new MeshError('MESH_STATE_DAMAGED', 'a new table cannot be opened', { place: options.path })
  db.prepare('INSERT INTO meta VALUES(?, ?)').run('identity', identity)
  return db
}

/** Null when the file is no database, is damaged, or is another table's. */
function tryOpen({ path, cacheBytes }: SqliteTableOptions, identity: string | null): DatabaseSync | null {
  const db = new DatabaseSync(path)
  try {
    // One process alone: another one that shares the folder would take every batch a second time.
    db.exec('PRAGMA locking_mode = EXCLUSIVE')
    db.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -${Math.ceil(cacheBytes / 1024)}`,
    )
    db.exec(SCHEMA)
    if (identity === null) return db
    const checked = db.prepare('PRAGMA quick_check(1)').get() as { quick_check: string }
    if (checked.quick_check === 'ok' && metaOf(db, 'identity') === identity) return db
  } catch (error) {
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) throw inUse(path, error)
    // Whatever else SQLite finds wrong with it, the topic has the rows.
  }
  db.close()
  return null
}

function prepare(db: DatabaseSync, historyMs: number | null) {
  const row = 'SELECT key, "from", src, value, sum FROM rows'
  const version = historyMs === null ? '' : 'ORDER BY version DESC LIMIT 1'
  return {
    latest: db.prepare(`${row} WHERE key = ? ${version}`),
    asOf: db.prepare(`${row} WHERE key = ? AND version <= ? ORDER BY version DESC LIMIT 1`),
    oldest: db.prepare(`${row} WHERE key = ? ORDER BY version LIMIT 1`),
    insert: db.prepare('INSERT OR IGNORE INTO rows VALUES(?, ?, ?, ?, ?, ?, ?, ?)'),
    supersede: db.prepare(
      `UPDATE rows SET "offset" = ?, "index" = ?, src = ?, value = ?, sum = ?
       WHERE key = ? AND version = ? AND ("offset" < ? OR ("offset" = ? AND "index" < ?))`,
    ),
    remove: db.prepare('DELETE FROM rows WHERE key = ?'),
    prune: db.prepare(
      'DELETE FROM rows WHERE key = ? AND version < (SELECT max(version) FROM rows WHERE key = ? AND version <= ?)',
    ),
    position: db.prepare('INSERT OR REPLACE INTO positions VALUES(?, ?)'),
    meta: db.prepare('INSERT OR REPLACE INTO meta VALUES(?, ?)'),
  }
}

function metaOf(db: DatabaseSync, name: string): string | null {
  const found = db.prepare('SELECT value FROM meta WHERE name = ?').get(name) as { value: string } | undefined
  return found?.value ?? null
}

const countRows = (db: DatabaseSync): number => (db.prepare('SELECT count(*) AS n FROM rows').get() as { n: number }).n

const newestOf = (db: DatabaseSync): number => Number(metaOf(db, 'newest') ?? Number.NEGATIVE_INFINITY)

const highestOf = (db: DatabaseSync): HighestSrc => JSON.parse(metaOf(db, 'highest') ?? '{}') as HighestSrc

const schemasOf = (db: DatabaseSync): Set<number> => new Set(JSON.parse(metaOf(db, 'schemas') ?? '[]') as number[])

function positionsOf(db: DatabaseSync): Map<number, number> {
  const found = db.prepare('SELECT partition, next FROM positions').all() as { partition: number; next: number }[]
  return new Map(found.map(({ partition, next }) => [partition, next]))
}

function checksum(key: string, src: string, value: Uint8Array | null): number {
  const head = crc32(`${key}\0${src}\0${value === null}`)
  return value === null ? head : crc32(value, head)
}

function removeFile(path: string): void {
  for (const suffix of FILE_SUFFIXES) rmSync(path + suffix, { force: true })
}

function bytesOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

const living = (row: TableRow | null): TableRow | null => (row === null || row.value === null ? null : row)
