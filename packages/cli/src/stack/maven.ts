import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { MeshError } from '@mesh/shared/core/errors'
import type { Java } from './java.ts'
import type { Environment } from './process.ts'
import { takeLock } from './state.ts'

export interface FetchRequest {
  /** Names the folder in the cache. */
  readonly name: string
  /** The pom that fills `${mesh.output}` at the phase process-resources. */
  readonly pom: string
  /** More files that decide the result; the pom always does. */
  readonly inputs?: readonly string[]
  /** Default `process-resources`. */
  readonly goals?: readonly string[]
  readonly cache: string
  readonly java: Java
  readonly env: Environment
  readonly signal?: AbortSignal
  readonly onProgress?: ((line: string) => void) | undefined
  /** Something to make of the download before it counts as complete. */
  readonly prepare?: (folder: string) => Promise<void>
}

/**
 * The folder with what the pom resolves to: from the cache, else fetched into a temporary folder and renamed, so a
 * folder in the cache is always complete. Its name holds the hash of the pom: a new version is a new folder.
 * Throws MESH_STACK_MAVEN_MISSING or MESH_STACK_DOWNLOAD.
 */
export async function fetchWithMaven(request: FetchRequest): Promise<string> {
  const { name, cache } = request
  const target = join(cache, `${name}-${hashOf(request)}`)
  if (existsSync(target)) return target
  mkdirSync(cache, { recursive: true })
  const release = await waitForLock(join(cache, `${name}.lock`), request)
  try {
    if (existsSync(target)) return target
    removeAbandoned(cache, name)
    const temporary = mkdtempSync(join(cache, `.${name}-`))
    try {
      const startedAt = Date.now()
      request.onProgress?.('downloading (first start only)')
      await runMaven(request, temporary)
      request.onProgress?.(`downloaded in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`)
      await request.prepare?.(temporary)
      renameSync(temporary, target)
    } finally {
      rmSync(temporary, { recursive: true, force: true })
    }
    return target
  } finally {
    release()
  }
}

function hashOf({ pom, inputs = [] }: FetchRequest): string {
  const hash = createHash('sha256')
  for (const file of new Set([pom, ...inputs])) hash.update(readFileSync(file))
  return hash.digest('hex').slice(0, 12)
}

/** Another stack that shares the cache may be fetching the same thing. */
async function waitForLock(file: string, request: FetchRequest): Promise<() => void> {
  let told = false
  for (;;) {
    const lock = takeLock(file, `fetch ${request.name}`)
    if (typeof lock === 'function') return lock
    if (!told) request.onProgress?.(`${request.name}: waiting for the download of another process (pid ${lock.pid})`)
    told = true
    if (request.signal?.aborted) throw cancelled(request)
    await delay(100)
  }
}

function removeAbandoned(cache: string, name: string): void {
  for (const entry of readdirSync(cache)) {
    if (entry.startsWith(`.${name}-`)) rmSync(join(cache, entry), { recursive: true, force: true })
  }
}

async function runMaven(request: FetchRequest, output: string): Promise<void> {
  const mvn = findMaven(request.env.PATH)
  const goals = request.goals ?? ['process-resources']
  const args = ['-B', '-ntp', '-q', '-U', '-f', request.pom, ...goals, `-Dmesh.output=${output}`]
  const child = spawn(mvn, args, {
    env: { ...request.env, JAVA_HOME: request.java.home, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(request.signal ? { signal: request.signal } : {}),
  })
  let printed = ''
  child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (printed += chunk.toString()))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => (error.name === 'AbortError' ? resolve(null) : reject(error)))
    child.once('close', resolve)
  })
  if (request.signal?.aborted) throw cancelled(request)
  if (code !== 0) throw downloadFailed(request.name, printed)
}

function cancelled(request: FetchRequest): MeshError {
  return new MeshError('MESH_STACK_STOPPED', `fetching ${request.name} was cancelled`)
}

/** @throws MeshError MESH_STACK_MAVEN_MISSING */
export function findMaven(path: string | undefined): string {
  const mvn = (path ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, 'mvn'))
    .find((program) => existsSync(program))
  if (!mvn) {
    throw new MeshError('MESH_STACK_MAVEN_MISSING', 'Maven (mvn) is not on the PATH; it fetches Kafka and the registry')
  }
  return mvn
}

/** Maven's own first error line says which artifact; the rest of its output is advice about Maven. */
function downloadFailed(name: string, printed: string): MeshError {
  if (/No space left on device/i.test(printed)) {
    return new MeshError('MESH_STACK_DISK_FULL', `no space left on the disk while fetching ${name}`)
  }
  const line = printed.split('\n').find((text) => text.startsWith('[ERROR]'))
  const why = line
    ?.replace('[ERROR]', '')
    .replace(/\s*-> \[Help.*/, '')
    .trim()
  return new MeshError('MESH_STACK_DOWNLOAD', `${name} could not be fetched: ${why ?? (printed.trim() || 'no output')}`)
}
