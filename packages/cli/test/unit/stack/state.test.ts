import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { identityOf } from '../../../src/stack/process-identity.ts'
import {
  childMarks,
  createFolders,
  isAlive,
  lockHolder,
  markOf,
  pidFile,
  removeStored,
  stateLayout,
  takeLock,
  writeJson,
} from '../../../src/stack/state.ts'

let folder = ''
let lock = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mesh-state-'))
  lock = join(folder, 'stack.lock')
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('a lock is held until its release', () => {
  const release = takeLock(lock, 'stack')
  expect(release).toBeTypeOf('function')
  expect(takeLock(lock, 'stack')).toMatchObject({ pid: process.pid })
  if (typeof release === 'function') release()
  expect(takeLock(lock, 'stack')).toBeTypeOf('function')
})

test('the lock of a dead process is taken over', () => {
  writeJson(lock, { name: 'stack', pid: 2 ** 22 + 1, identity: 'gone' })
  expect(takeLock(lock, 'stack')).toBeTypeOf('function')
  expect(lockHolder(lock)?.pid).toBe(process.pid)
})

test('the pid of the dead holder, used again by another process, does not keep the lock', () => {
  writeJson(lock, { name: 'stack', pid: process.pid, identity: 'an earlier process of this number' })
  expect(lockHolder(lock)).toBeUndefined()
  expect(takeLock(lock, 'stack')).toBeTypeOf('function')
})

test('a lock file that a crash left half written is taken over', () => {
  writeFileSync(lock, '{"pid":')
  expect(takeLock(lock, 'stack')).toBeTypeOf('function')
})

test('a process is alive only under its own identity', () => {
  const mark = markOf('me', process.pid)
  expect(mark && isAlive(mark)).toBe(true)
  expect(isAlive({ name: 'me', pid: process.pid, identity: 'other' })).toBe(false)
  expect(identityOf(2 ** 22 + 1)).toBeUndefined()
})

test('the children that were written down are found again', () => {
  const layout = stateLayout(folder)
  createFolders(layout)
  writeJson(pidFile(layout, 'kafka'), { name: 'kafka', pid: 1, identity: 'x' })
  writeFileSync(join(layout.run, 'torn.pid.json'), '{')
  expect(childMarks(layout)).toEqual([{ name: 'kafka', pid: 1, identity: 'x' }])
})

test('a fresh start removes what was stored and keeps the downloads', () => {
  const layout = stateLayout(folder)
  createFolders(layout)
  for (const stored of [layout.kafka, layout.registry, layout.redis, layout.cache]) {
    mkdirSync(stored, { recursive: true })
    writeFileSync(join(stored, 'file'), 'content')
  }
  removeStored(layout)
  expect(existsSync(layout.kafka)).toBe(false)
  expect(existsSync(layout.registry)).toBe(false)
  expect(existsSync(layout.redis)).toBe(false)
  expect(readFileSync(join(layout.cache, 'file'), 'utf8')).toBe('content')
})
