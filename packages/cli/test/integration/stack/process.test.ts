import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ChildSpec, startChild, stopMarked } from '../../../src/stack/process.ts'
import { identityOf } from '../../../src/stack/process-identity.ts'
import { stopOrphans } from '../../../src/stack/recovery.ts'
import {
  createFolders,
  isAlive,
  markOf,
  pidFile,
  type StateLayout,
  stateLayout,
  writeJson,
} from '../../../src/stack/state.ts'

const IGNORES_TERM = 'process.on("SIGTERM", () => {}); console.log("ready"); setInterval(() => {}, 1000)'
const STAYS = 'console.log("ready"); setInterval(() => {}, 1000)'

let folder = ''
let layout: StateLayout
const strangers: ChildProcess[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mesh-process-'))
  layout = stateLayout(folder)
  createFolders(layout)
})

afterEach(() => {
  for (const stranger of strangers.splice(0)) stranger.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
})

test('a process that ignores SIGTERM is killed after its time', async () => {
  const child = await startChild(specOf(IGNORES_TERM, { stopTimeoutMs: 100 }))
  expect(await child.stop()).toEqual({ code: null, signal: 'SIGKILL' })
  expect(existsSync(pidFile(layout, 'child'))).toBe(false)
})

test('what a process has started ends with it', async () => {
  const script = `
    const inner = require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(STAYS)}])
    inner.stdout.once('data', () => console.log(JSON.stringify({ inner: inner.pid })))
    setInterval(() => {}, 1000)`
  const child = await startChild(specOf(script))
  const inner = Number(/"inner":(\d+)/.exec(logOf())?.[1])
  const mark = markOf('inner', inner)
  expect(mark && isAlive(mark)).toBe(true)
  child.kill('SIGKILL')
  await child.exited
  await expect.poll(() => mark && isAlive(mark), { timeout: 60_000 }).toBe(false)
})

/** A shell with job control: what it runs leads a group of its own in the shell's session. */
const OWN_GROUP = `
    const shell = require('node:child_process').spawn('bash', ['-c', 'set -m; sleep 600 & echo "inner $!"; wait'])
    shell.stdout.on('data', (text) => console.log(String(text)))
    setInterval(() => {}, 1000)`

test('what leads a group of its own ends with the process whose whole session is stopped', async () => {
  const child = await startChild(specOf(OWN_GROUP, { wholeSession: true }))
  const inner = Number(/inner (\d+)/.exec(logOf())?.[1])
  expect(identityOf(inner)).toBeDefined()
  await child.stop()
  expect(identityOf(inner)).toBeUndefined()
})

test('a start that is given up ends the whole session too', async () => {
  const stop = new AbortController()
  const spec = specOf(OWN_GROUP, {
    wholeSession: true,
    isReady: () => {
      if (logOf().includes('inner')) stop.abort()
      return Promise.resolve(false)
    },
  })
  await expect(startChild(spec, stop.signal)).rejects.toMatchObject({ code: 'MESH_STACK_STOPPED' })
  const inner = Number(/inner (\d+)/.exec(logOf())?.[1])
  expect(inner).toBeGreaterThan(0)
  expect(identityOf(inner)).toBeUndefined()
})

test('a process that is not ready in time is stopped and named', async () => {
  const spec = specOf(STAYS, { isReady: () => Promise.resolve(false), readyTimeoutMs: 200 })
  await expect(startChild(spec)).rejects.toMatchObject({
    code: 'MESH_STACK_CHILD_FAILED',
    message: expect.stringContaining('child was not ready after 0.2 s'),
  })
  expect(existsSync(spec.pidFile)).toBe(false)
})

test('a program that does not exist is an error, not a crash', async () => {
  await expect(startChild({ ...specOf(STAYS), command: '/nowhere/java' })).rejects.toMatchObject({
    code: 'MESH_STACK_CHILD_FAILED',
  })
})

test('an orphan is stopped by its pid, even when it ignores SIGTERM', async () => {
  const child = await startChild(specOf(IGNORES_TERM))
  const mark = markOf('child', child.pid)
  if (!mark) throw new Error('the child is gone')
  expect(await stopMarked(mark, 100)).toBe(true)
  expect(identityOf(child.pid)).toBeUndefined()
})

test('a pid that belongs to another process by now is left alone', async () => {
  const stranger = spawn(process.execPath, ['-e', STAYS], { stdio: 'pipe', detached: true })
  strangers.push(stranger)
  await new Promise((resolve) => stranger.stdout.once('data', resolve))
  writeJson(pidFile(layout, 'kafka'), { name: 'kafka', pid: stranger.pid, identity: 'the broker of yesterday' })
  expect(await stopOrphans(layout)).toEqual([])
  expect(identityOf(stranger.pid ?? 0)).toBeDefined()
  expect(existsSync(pidFile(layout, 'kafka'))).toBe(false)
})

/** A Node script; ready once it has printed something. */
function specOf(script: string, changes: Partial<ChildSpec> = {}): ChildSpec {
  return {
    name: 'child',
    command: process.execPath,
    args: ['-e', script],
    env: process.env,
    cwd: folder,
    logFile: join(layout.logs, 'child.log'),
    pidFile: pidFile(layout, 'child'),
    isReady: () => Promise.resolve(logOf() !== ''),
    readyTimeoutMs: 60_000,
    stopTimeoutMs: 60_000,
    ...changes,
  }
}

function logOf(): string {
  const file = join(layout.logs, 'child.log')
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}
