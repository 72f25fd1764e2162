import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import { identityOf, isSameProcess } from './process-identity.ts'

/** The folders of one stack. Everything but `cache` is lost with `--fresh`. */
export interface StateLayout {
  readonly root: string
  readonly run: string
  readonly logs: string
  /** Downloads and start-up archives; may be shared by several stacks. */
  readonly cache: string
  readonly kafka: string
  readonly registry: string
  readonly connect: string
  readonly postgres: string
  readonly redis: string
  readonly lake: string
  readonly warehouse: string
  /** One scratch folder per service. */
  readonly services: string
  readonly stackFile: string
}

/** A process as it is written down, enough to find it again and never hit another one. */
export interface ProcessMark {
  readonly name: string
  readonly pid: number
  readonly identity: string
}

export function stateLayout(root: string, cache: string = join(root, 'cache')): StateLayout {
  return {
    root,
    run: join(root, 'run'),
    logs: join(root, 'logs'),
    cache,
    kafka: join(root, 'kafka'),
    registry: join(root, 'registry'),
    connect: join(root, 'kafka-connect'),
    postgres: join(root, 'postgres'),
    redis: join(root, 'redis'),
    lake: join(root, 'lake'),
    warehouse: join(root, 'warehouse'),
    services: join(root, 'services'),
    stackFile: join(root, 'stack.json'),
  }
}

export function createFolders(layout: StateLayout): void {
  for (const folder of [layout.run, layout.logs, layout.cache, layout.lake, layout.warehouse, layout.services]) {
    mkdirSync(folder, { recursive: true })
  }
}

/** Removes what the stack has stored; keeps the cache, the logs and the lock. */
export function removeStored(layout: StateLayout): void {
  for (const folder of [
    layout.kafka,
    layout.registry,
    layout.connect,
    layout.postgres,
    layout.redis,
    layout.lake,
    layout.warehouse,
    layout.services,
  ]) {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Written whole or not at all: readers never see half a file. */
export function writeJson(file: string, value: unknown): void {
  const temporary = `${file}.${process.pid}.tmp`
  writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`)
  renameSync(temporary, file)
}

export function readMark(file: string): ProcessMark | undefined {
  try {
    const mark: unknown = JSON.parse(readFileSync(file, 'utf8'))
    return isMark(mark) ? mark : undefined
  } catch {
    return undefined // not there, or its writer died before the rename
  }
}

function isMark(value: unknown): value is ProcessMark {
  if (typeof value !== 'object' || value === null) return false
  return 'pid' in value && typeof value.pid === 'number' && 'identity' in value && typeof value.identity === 'string'
}

export function isAlive(mark: ProcessMark): boolean {
  return isSameProcess(mark.pid, mark.identity)
}

export function markOf(name: string, pid: number): ProcessMark | undefined {
  const identity = identityOf(pid)
  return identity === undefined ? undefined : { name, pid, identity }
}

/** The children that a stack of this state folder has written down, dead ones included. */
export function childMarks(layout: StateLayout): ProcessMark[] {
  if (!existsSync(layout.run)) return []
  return readdirSync(layout.run)
    .filter((file) => file.endsWith('.pid.json'))
    .flatMap((file) => readMark(join(layout.run, file)) ?? [])
}

export function pidFile(layout: StateLayout, name: string): string {
  return join(layout.run, `${name}.pid.json`)
}

/** The process that holds the lock of this state folder, if it is alive. */
export function lockHolder(file: string): ProcessMark | undefined {
  const mark = readMark(file)
  return mark && isAlive(mark) ? mark : undefined
}

/**
 * Takes the lock by `link`, which is atomic, and returns its release. The lock of a dead process is taken over.
 * Returns the holder instead when it is alive.
 */
export function takeLock(file: string, name: string): (() => void) | ProcessMark {
  const mine = markOf(name, process.pid)
  if (!mine) throw new MeshError('MESH_INTERNAL', 'the start time of this process cannot be read')
  const temporary = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`
  writeFileSync(temporary, `${JSON.stringify(mine)}\n`)
  try {
    for (;;) {
      try {
        linkSync(temporary, file)
        return () => rmSync(file, { force: true })
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      const holder = lockHolder(file)
      if (holder) return holder
      removeDeadLock(file)
    }
  } finally {
    rmSync(temporary, { force: true })
  }
}

/** Two starters may judge the same dead lock: the one that finds it has moved a living lock puts that back. */
function removeDeadLock(file: string): void {
  const aside = `${file}.${process.pid}.dead`
  try {
    renameSync(file, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if (lockHolder(aside) && !existsSync(file)) renameSync(aside, file)
  rmSync(aside, { force: true })
}
