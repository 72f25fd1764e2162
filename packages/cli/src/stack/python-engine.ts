import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { MeshError } from '@mesh/shared/core/errors'
import type { Environment } from './process.ts'
import { takeLock } from './state.ts'

export interface EngineRequest {
  /** Names the folder in the cache and shows in errors: `dbt`. */
  readonly name: string
  /** Oldest Python that the lock was resolved for; default 3.10. */
  readonly oldest?: readonly [number, number]
  /** The folder with requirements.lock.txt. */
  readonly folder: string
  readonly cache: string
  readonly env: Environment
  readonly signal?: AbortSignal
  readonly onProgress?: (text: string) => void
}

const UV = 'uv==0.13.9'
const OLDEST: readonly [number, number] = [3, 10]
/** Newest first; `python3` is whatever the system calls so. */
const NAMES = ['python3.13', 'python3.12', 'python3.11', 'python3.10', 'python3']
/** The lock was resolved for these; a newer one may have no wheels. */
const NEWEST: readonly [number, number] = [3, 13]

/**
 * The Python that has the packages of a hashed lock: from the cache, else installed into a folder that the lock's hash names. The
 * stamp is written last, so a folder with a stamp is complete.
 * @throws MeshError MESH_PYTHON_MISSING, MESH_STACK_DOWNLOAD
 */
export async function installPythonEngine(request: EngineRequest): Promise<string> {
  const lock = join(request.folder, 'requirements.lock.txt')
  const system = await findPython(request.env, request.oldest)
  const hash = createHash('sha256').update(readFileSync(lock)).update(system.version).digest('hex').slice(0, 12)
  const target = join(request.cache, 'engines', `${request.name}-${hash}`)
  const python = join(target, 'bin', 'python')
  const stamp = join(target, 'complete')
  if (existsSync(stamp)) return python
  mkdirSync(join(request.cache, 'engines'), { recursive: true })
  const release = await waitForLock(`${target}.lock`, request)
  try {
    if (existsSync(stamp)) return python
    rmSync(target, { recursive: true, force: true })
    const startedAt = Date.now()
    request.onProgress?.('installing (first time only)')
    const cache = join(request.cache, 'uv')
    const env = { ...request.env, UV_CACHE_DIR: cache, UV_NO_PROGRESS: '1', PIP_DISABLE_PIP_VERSION_CHECK: '1' }
    const run = (program: string, args: readonly string[]): Promise<void> => runStep(program, args, { ...request, env })
    const uv = findOnPath('uv', request.env.PATH) ?? (await bootstrapUv(system.path, request.cache, run))
    await run(uv, ['venv', '--quiet', '--python', system.path, target])
    await run(uv, [
      'pip',
      'install',
      '--quiet',
      '--compile-bytecode',
      '--python',
      python,
      '--require-hashes',
      // A lock is whole: what it leaves out (Flink's Python API) is left out on purpose.
      '--no-deps',
      '-r',
      lock,
    ])
    writeFileSync(stamp, `${new Date().toISOString()}\n`)
    request.onProgress?.(`installed in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`)
    return python
  } finally {
    release()
  }
}

/** uv in a venv of its own, for machines that have none. */
async function bootstrapUv(
  python: string,
  cache: string,
  run: (program: string, args: readonly string[]) => Promise<void>,
): Promise<string> {
  const folder = join(cache, 'engines', 'uv')
  const uv = join(folder, 'bin', 'uv')
  if (existsSync(uv)) return uv
  rmSync(folder, { recursive: true, force: true })
  await run(python, ['-m', 'venv', folder])
  await run(join(folder, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', UV])
  return uv
}

/** @throws MeshError MESH_PYTHON_MISSING */
export async function findPython(
  env: Environment,
  oldest: readonly [number, number] = OLDEST,
): Promise<{ readonly path: string; readonly version: string }> {
  const found: string[] = []
  for (const name of env['MESH_PYTHON'] ? [env['MESH_PYTHON']] : NAMES) {
    const path = name.includes('/') ? name : findOnPath(name, env.PATH)
    const version = path === undefined ? null : await versionOf(path, env)
    if (path === undefined || version === null) continue
    if (isBetween(version, oldest)) return { path, version }
    found.push(`${name} is ${version}`)
  }
  const range = `${oldest.join('.')} to ${NEWEST.join('.')}`
  const why = found.length > 0 ? ` (${found.join(', ')})` : ''
  throw new MeshError('MESH_PYTHON_MISSING', `no Python ${range} on the PATH${why}`)
}

function isBetween(version: string, oldest: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major === oldest[0] && minor >= oldest[1] && minor <= NEWEST[1]
}

async function versionOf(path: string, env: Environment): Promise<string | null> {
  const printed = await capture(path, ['-c', 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2])'], env)
  return printed.code === 0 ? printed.text.trim() : null
}

function findOnPath(name: string, path: string | undefined): string | undefined {
  const folders = (path ?? '').split(delimiter).filter((folder) => folder !== '')
  return folders.map((folder) => join(folder, name)).find((program) => existsSync(program))
}

async function runStep(program: string, args: readonly string[], { name, env, signal }: EngineRequest): Promise<void> {
  const { code, text } = await capture(program, args, env, signal)
  if (signal?.aborted) throw new MeshError('MESH_STACK_STOPPED', `installing ${name} was cancelled`)
  if (code === 0) return
  const why = text.trim().split('\n').slice(-3).join(' ')
  throw new MeshError('MESH_STACK_DOWNLOAD', `${name} could not be installed: ${why === '' ? 'no output' : why}`)
}

function capture(
  program: string,
  args: readonly string[],
  env: Environment,
  signal?: AbortSignal,
): Promise<{ code: number | null; text: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      env: { ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(signal ? { signal } : {}),
    })
    let text = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.once('error', (error) => resolve({ code: null, text: error.message }))
    child.once('close', (code) => resolve({ code, text }))
  })
}

/** Another stack that shares the cache may be installing. */
async function waitForLock(file: string, { name, signal }: EngineRequest): Promise<() => void> {
  for (;;) {
    const lock = takeLock(file, `install ${name}`)
    if (typeof lock === 'function') return lock
    if (signal?.aborted) throw new MeshError('MESH_STACK_STOPPED', `installing ${name} was cancelled`)
    await delay(100)
  }
}
