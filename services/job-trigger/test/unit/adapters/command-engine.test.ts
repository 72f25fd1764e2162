import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '@mesh/shared/testing/until'
import { afterAll, expect, test } from 'vitest'
import { createCommandEngine } from '../../../src/adapters/command-engine.ts'
import type { JobEngine } from '../../../src/core/ports.ts'
import { describeEngine, executionOf } from '../../support/engine-contract.ts'
import { job } from '../../support/jobs.ts'

const root = mkdtempSync(join(tmpdir(), 'mesh-command-'))
const make = (): JobEngine =>
  createCommandEngine({ stateDir: join(root, 'state'), projectDir: root, env: { PATH: process.env['PATH'] } })
const engine = make()
afterAll(async () => {
  await engine.close()
  rmSync(root, { recursive: true, force: true, maxRetries: 10 })
})

/** Every begin leaves a line behind. */
const COUNT = `require('node:fs').appendFileSync(process.env.MESH_EXECUTION_ID, 'begun\\n');`
const script = (code: string) => ({
  engine: 'command' as const,
  options: { run: [process.execPath, '-e', COUNT + code] },
})
const begun = (id: string): number =>
  existsSync(join(root, id)) ? readFileSync(join(root, id), 'utf8').trim().split('\n').length : 0

describeEngine('command', {
  engine: () => engine,
  jobs: {
    good: script(`console.log(JSON.parse(require('node:fs').readFileSync(process.env.MESH_INPUT)).runId)`),
    bad: script('process.exit(3)'),
    endless: script('setInterval(() => {}, 1000)'),
  },
  begun,
  away: null,
  afterKill: make,
  cancels: true,
})

test('the command is given the run, and what it prints is its log', async () => {
  const execution = executionOf(
    job({ name: 'says', ...script('console.log(process.env.MESH_RUN_ID, process.env.MESH_INPUT)') }),
  )
  await engine.submit(execution)
  await until(async () => (await engine.status(execution)).state === 'succeeded', 'the command to end')
  const log = await engine.logs(execution)
  expect(log).toContain(execution.run.id)
  expect(JSON.parse(readFileSync(log!.trim().split(' ')[1]!, 'utf8'))).toEqual(execution.input)
})

test('a program that is not there is a failure with its name', async () => {
  const execution = executionOf(job({ name: 'nothing', engine: 'command', options: { run: ['no-such-program-here'] } }))
  await engine.submit(execution)
  await until(async () => (await engine.status(execution)).state === 'failed', 'the command to end')
  expect(JSON.stringify(await engine.status(execution))).toContain('no-such-program-here')
})

test('a clean stop ends the command, which then counts as never begun', async () => {
  const own = make()
  const execution = executionOf(job({ name: 'stopped', ...script('setInterval(() => {}, 1000)') }))
  await own.submit(execution)
  expect((await own.status(execution)).state).toBe('running')
  await own.close()
  expect(await own.status(execution)).toEqual({ state: 'unknown' })
})
