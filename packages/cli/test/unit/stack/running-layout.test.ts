import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readRunningStack } from '../../../src/stack/running.ts'
import { runningLayout, sourcesStateDir } from '../../../src/stack/running-layout.ts'
import { lockFile } from '../../../src/stack/stack.ts'
import { createFolders, markOf, stateLayout, takeLock, writeJson } from '../../../src/stack/state.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mesh-running-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const chosen = (): string => runningLayout({ stateDir: () => folder }).root

/** What a stack of this folder looks like from outside. */
function running(root: string): () => void {
  const layout = stateLayout(root)
  createFolders(layout)
  writeJson(layout.stackFile, { supervisor: markOf('stack', process.pid) })
  return takeLock(lockFile(layout), 'stack') as () => void
}

test('a command means the own stack, and that of --sources where only that one runs', () => {
  expect(chosen()).toBe(folder)
  const stopSources = running(sourcesStateDir(folder))
  expect(chosen()).toBe(sourcesStateDir(folder))
  const stopOwn = running(folder)
  expect(chosen()).toBe(folder)
  stopOwn()
  stopSources()
  expect(chosen()).toBe(folder)
})

test('what a killed stack has written down is not taken for that of the one that starts after it', () => {
  const stop = running(folder)
  const layout = stateLayout(folder)
  expect(readRunningStack(layout)).toMatchObject({ supervisor: { pid: process.pid } })
  writeJson(layout.stackFile, { supervisor: { name: 'stack', pid: process.pid, identity: 'killed' }, ready: true })
  expect(readRunningStack(layout)).toBeUndefined()
  stop()
})
