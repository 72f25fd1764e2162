import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createDuckDbFile } from '../../../src/adapters/duckdb-file.ts'
import { createWriterLock } from '../../../src/adapters/writer-lock.ts'
import { FILE_OPTIONS, freshPath, rowsOf } from '../duckdb.ts'

vi.setConfig({ testTimeout: 60_000 })

/** Another process that has the file open. */
async function hold(file: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, 'holder.mjs'), file], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  await once(child.stdout!, 'data')
  return child
}

test('an opener waits while another process holds the file', async () => {
  const filePath = await freshPath()
  const child = await hold(filePath)
  let waits = 0
  const onWaiting = (): void => {
    waits += 1
    child.stdin!.end()
  }
  const file = createDuckDbFile(filePath, { ...FILE_OPTIONS, lockWaitMs: 60_000, onWaiting })
  expect(await rowsOf(file, 'SELECT 42')).toEqual([[42]])
  expect(waits).toBe(1)
})

test('a file that stays locked is given up after the wait, naming its holder; it is free again when that one ends', async () => {
  const filePath = await freshPath()
  const file = createDuckDbFile(filePath, { ...FILE_OPTIONS, lockWaitMs: 0 })
  const child = await hold(filePath)
  await expect(rowsOf(file, 'SELECT 1')).rejects.toThrow(expect.objectContaining({ code: 'MESH_WAREHOUSE_LOCKED' }))
  await expect(rowsOf(file, 'SELECT 1')).rejects.toThrow(`PID ${child.pid}`)
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(await rowsOf(file, 'SELECT 1')).toEqual([[1]])
})

test('between two uses the file is free for other processes', async () => {
  const filePath = await freshPath()
  const file = createDuckDbFile(filePath, FILE_OPTIONS)
  await rowsOf(file, 'CREATE TABLE t AS SELECT 1 AS n')
  const child = await hold(filePath)
  child.stdin!.end()
  await once(child, 'exit')
  expect(await rowsOf(file, 'SELECT n FROM t')).toEqual([[1]])
})

test('uses queue and a failed one does not stop the next; a failed transaction leaves nothing', async () => {
  const file = createDuckDbFile(await freshPath(), FILE_OPTIONS)
  const failed = file.transaction(async (connection) => {
    await connection.run('CREATE TABLE t (n INTEGER)')
    throw new Error('no')
  })
  const next = rowsOf(file, 'SELECT count(*) FROM duckdb_tables()')
  await expect(failed).rejects.toThrow('no')
  expect(await next).toEqual([[0n]])
})

test('a second writer is refused while the first lives, and let in once it was killed', async () => {
  const filePath = await freshPath()
  const first = await hold(`${filePath}.writer`)
  const second = createWriterLock(filePath)
  await expect(second.start()).rejects.toThrow(expect.objectContaining({ code: 'MESH_WAREHOUSE_SECOND_WRITER' }))
  first.kill('SIGKILL')
  await once(first, 'exit')
  await second.start()
  await second.stop()
})
