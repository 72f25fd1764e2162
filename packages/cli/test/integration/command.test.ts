import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import { findFreePorts } from '../../src/stack/ports.ts'
import { identityOf } from '../../src/stack/process-identity.ts'
import { CODE_DIR } from './stack/toy-services.ts'

interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

let project = ''

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'mesh-command-'))
  mkdirSync(join(project, 'streams'))
  mkdirSync(join(project, '.mesh'))
  symlinkSync(inject('stackCache'), join(project, '.mesh', 'cache'))
})

afterEach(async () => {
  await mesh('down')
  rmSync(project, { recursive: true, force: true, maxRetries: 10 })
})

test('up waits until the stack is ready, status shows it, kill -9 of all is recovered from, down stops it', {
  timeout: 600_000,
}, async () => {
  const { kafka, controller } = await findFreePorts(['kafka', 'controller'])
  const ports = ['--port', `kafka=${kafka}`, '--port', `kafka-controller=${controller}`]
  expect(await mesh('status', '--json')).toMatchObject({ code: 1, stdout: expect.stringContaining('"running":false') })

  const up = await mesh('up', '--only', 'kafka', ...ports)
  expect(up).toMatchObject({ code: 0, stdout: expect.stringContaining(`127.0.0.1:${kafka}`) })
  expect(await mesh('up', '--only', 'kafka', ...ports)).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('already running'),
  })
  expect(await mesh('up', '--fresh')).toMatchObject({ code: 1, stderr: expect.stringContaining('MESH_STACK_BUSY') })

  // Its probe of the broker gives up after a second, which a busy machine may take.
  await expect
    .poll(processes, { timeout: 60_000 })
    .toMatchObject({ running: true, ready: true, processes: [{ name: 'kafka', healthy: true }] })
  const before = await processes()
  await kill(before.supervisor.pid)
  expect(await mesh('status')).toMatchObject({ code: 1, stdout: expect.stringContaining('not running') })

  // The broker has outlived its supervisor and still holds its port and its data folder.
  const again = await mesh('up', '--only', 'kafka', ...ports)
  expect(again).toMatchObject({ code: 0, stderr: expect.stringContaining('left running: kafka') })
  const after = await processes()
  expect(after.processes[0]?.pid).not.toBe(before.processes[0]?.pid)

  for (const pid of [after.supervisor.pid, after.processes[0]!.pid]) await kill(pid)
  expect((await mesh('up', '--only', 'kafka', ...ports)).code).toBe(0)
  expect(await mesh('down')).toMatchObject({ code: 0, stderr: expect.stringContaining('mesh is down') })
  expect(await mesh('down')).toMatchObject({ code: 0, stderr: expect.stringContaining('not running') })
})

test('outside a project and with a wrong word the command says what to do', async () => {
  expect(await mesh('upp')).toMatchObject({ code: 2, stderr: expect.stringContaining("did you mean 'up'?") })
  expect(await mesh('up', '--onyl', 'kafka')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("did you mean '--only'?"),
  })
  expect(await mesh('status', '--project', tmpdir())).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('MESH_CLI_NO_PROJECT'),
  })
})

interface StatusJson {
  readonly supervisor: { readonly pid: number }
  readonly processes: readonly { readonly pid: number }[]
}

async function processes(): Promise<StatusJson> {
  return JSON.parse((await mesh('status', '--json')).stdout) as StatusJson
}

/** Resolves when it is dead: the signal is only on its way when it was sent. */
async function kill(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL')
  await expect.poll(() => identityOf(pid), { timeout: 60_000 }).toBeUndefined()
}

/** Runs the command as a user does, from inside the project. */
function mesh(...args: string[]): Promise<Ran> {
  const { MESH_STATE_DIR: _, ...env } = process.env
  return new Promise((resolve) => {
    execFile(
      join(CODE_DIR, 'packages', 'cli', 'bin', 'mesh.mjs'),
      args,
      { cwd: join(project, 'streams'), env },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    )
  })
}
