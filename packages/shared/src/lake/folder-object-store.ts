import { randomUUID } from 'node:crypto'
import type { Dirent } from 'node:fs'
import { link, lstat, mkdir, open, readdir, rm, stat, unlink } from 'node:fs/promises'
import path from 'node:path'
import { MeshError } from '../core/errors.ts'
import { checkObjectKey, compareKeys } from './object-key.ts'
import type { ObjectStore } from './object-store.ts'

const TEMPORARY = '.tmp'
const STALE_MS = 3_600_000

/**
 * Objects as files under `root`. `create` is a synced temporary file and `link()`, which fails when the name is taken, so one
 * writer wins among any number of processes on one file system. Object and folders are synced before it returns.
 */
export function createFolderObjectStore(root: string): ObjectStore {
  const temporary = path.join(root, TEMPORARY)
  const synced = new Set<string>()
  let prepared: Promise<void> | null = null

  const fileOf = (key: string): string => {
    checkObjectKey(key)
    return path.join(root, ...key.split('/'))
  }

  async function prepare(): Promise<void> {
    try {
      await mkdir(temporary, { recursive: true })
      for (const name of await readdir(temporary)) await removeStale(path.join(temporary, name))
    } catch (error) {
      prepared = null
      throw new MeshError('MESH_LAKE_UNAVAILABLE', 'opening the lake folder', { cause: error, place: root })
    }
  }

  /** Makes a folder whose name survives a power cut: every folder above it is synced once per process. */
  async function ensureFolder(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true })
    if (synced.has(folder)) return
    for (let at = folder; at.length > root.length; at = path.dirname(at)) await syncFolder(path.dirname(at))
    synced.add(folder)
  }

  async function create(key: string, bytes: Uint8Array): Promise<'created' | 'exists'> {
    const file = fileOf(key)
    prepared ??= prepare()
    await prepared
    await ensureFolder(path.dirname(file))
    const draft = path.join(temporary, randomUUID())
    try {
      await writeSynced(draft, bytes)
      const outcome = await linkOnce(draft, file)
      // Also for a loser: it acts on the winner's object, whose folder entry may not be synced yet.
      await syncFolder(path.dirname(file))
      return outcome
    } finally {
      await rm(draft, { force: true })
    }
  }

  async function getRange(key: string, start: number, end: number): Promise<Uint8Array | null> {
    const handle = await openOrNull(fileOf(key))
    if (!handle) return null
    try {
      const { size } = await handle.stat()
      const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(end, size) - start))
      let filled = 0
      while (filled < buffer.length) {
        const { bytesRead } = await handle.read(buffer, filled, buffer.length - filled, start + filled)
        if (bytesRead === 0) throw new Error('the object became shorter while it was read')
        filled += bytesRead
      }
      return buffer
    } finally {
      await handle.close()
    }
  }

  async function size(key: string): Promise<number | null> {
    const found = await ignoreMissing(stat(fileOf(key)))
    return found?.isFile() ? found.size : null
  }

  async function* walk(folder: string, prefix: string): AsyncGenerator<string> {
    const entries = await ignoreMissing<Dirent[]>(readdir(path.join(root, folder), { withFileTypes: true }))
    const keys = (entries ?? [])
      .filter((entry) => !entry.name.startsWith('.'))
      .map((entry) => folder + entry.name + (entry.isDirectory() ? '/' : ''))
      .sort(compareKeys)
    for (const key of keys) {
      if (key.endsWith('/')) {
        if (key.startsWith(prefix) || prefix.startsWith(key)) yield* walk(key, prefix)
      } else if (key.startsWith(prefix)) yield key
    }
  }

  return {
    create: (key, bytes) => wrapped(`creating object ${key}`, () => create(key, bytes)),
    get: (key) => wrapped(`reading object ${key}`, () => getRange(key, 0, Number.MAX_SAFE_INTEGER)),
    getRange: (key, start, end) => wrapped(`reading object ${key}`, () => getRange(key, start, end)),
    size: (key) => wrapped(`looking up object ${key}`, () => size(key)),
    list: (prefix) => walk(prefix.slice(0, prefix.lastIndexOf('/') + 1), prefix),
    delete: (key) => wrapped(`deleting object ${key}`, async () => void (await ignoreMissing(unlink(fileOf(key))))),
  }
}

async function writeSynced(file: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, 'wx')
  try {
    await handle.writeFile(bytes)
    await handle.datasync()
  } finally {
    await handle.close()
  }
}

async function linkOnce(draft: string, file: string): Promise<'created' | 'exists'> {
  for (;;) {
    try {
      await link(draft, file)
      return 'created'
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
    }
    const winner = await ignoreMissing(lstat(file))
    if (winner?.isDirectory()) throw keyConflict(file)
    // Deleted since it refused the name: the name is free again.
    if (winner) return 'exists'
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** A draft this old belongs to a writer that died. */
async function removeStale(file: string): Promise<void> {
  const found = await ignoreMissing(stat(file))
  if (found && Date.now() - found.mtimeMs > STALE_MS) await rm(file, { force: true })
}

async function openOrNull(file: string): Promise<Awaited<ReturnType<typeof open>> | null> {
  const handle = await ignoreMissing(open(file, 'r'))
  if (!handle || (await handle.stat()).isFile()) return handle
  await handle.close()
  return null
}

async function ignoreMissing<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return null
    throw error
  }
}

async function wrapped<T>(action: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof MeshError) throw error
    if (codeOf(error) === 'ENOTDIR' || codeOf(error) === 'EEXIST') throw keyConflict(action)
    throw new MeshError('MESH_LAKE_UNAVAILABLE', action, { cause: error })
  }
}

function keyConflict(place: string): MeshError {
  return new MeshError('MESH_LAKE_KEY_INVALID', 'one object key is a prefix of another with /', { place })
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | null)?.code
}
