import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  chooseSuites,
  countsOf,
  exitCode,
  type Outcome,
  renderOutcomes,
  SUITES,
} from '../../../../scripts/engine-suites.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..', '..')

const outcome = (suite: string, more: Partial<Outcome> = {}): Outcome => ({
  suite,
  state: 'passed',
  seconds: 61.25,
  why: null,
  tests: { passed: 4, failed: 0 },
  kilobytes: null,
  ...more,
})

test('every engine test belongs to one suite', () => {
  const files = readdirSync(join(ROOT, 'tests', 'engines')).filter((name) => name.endsWith('.test.ts'))
  for (const file of files) expect(chooseSuites([file]).chosen).toHaveLength(1)
  for (const { name } of SUITES) expect(files.some((file) => file.startsWith(name))).toBe(true)
})

test('names choose suites or files of them, options go to vitest, and a wrong name is told the right ones', () => {
  const files = (...args: string[]): readonly string[] => chooseSuites(args).chosen.flatMap((each) => each.files)
  expect(files()).toEqual(SUITES.map(({ name }) => `tests/engines/${name}`))
  expect(files('spark', 'gold-page')).toEqual(['tests/engines/gold-page', 'tests/engines/spark'])
  expect(files('airflow-contract')).toEqual(['tests/engines/airflow-contract'])
  expect(files('tests/engines/airflow.test.ts')).toEqual(['tests/engines/airflow.test.ts'])
  expect(chooseSuites(['spark', '-t', 'batch']).rest).toEqual(['-t', 'batch'])
  expect(chooseSuites(['--bail', '1']).chosen).toHaveLength(SUITES.length)
  expect(() => chooseSuites(['sparc'])).toThrow('there is no engine suite sparc: gold-page, superset, spark, ')
})

test('the summary says of each suite how it went, how long it took and what lies on the disk', () => {
  const text = renderOutcomes(
    [
      outcome('spark', { kilobytes: 512_000 }),
      outcome('flink', { state: 'failed', why: 'exit code 1', tests: { passed: 3, failed: 2 } }),
      outcome('superset', { state: 'missing', why: 'no Python 3.10 to 3.13 on the PATH', tests: null }),
      outcome('airflow', { state: 'not run', tests: null }),
    ],
    { cache: 2_048_000, free: 10_240_000 },
  )
  expect(text.split('\n')).toEqual([
    'spark     passed in 61.3 s, 4 passed, 0 failed, 500 MB installed',
    'flink     FAILED (exit code 1) in 61.3 s, 3 passed, 2 failed',
    'superset  MISSING: no Python 3.10 to 3.13 on the PATH',
    'airflow   not run',
    'engines: 7 passed, 4 failed',
    'disk: .mesh/cache holds 2,000 MB, 10,000 MB free',
  ])
})

test('a run that ended badly counts a failure, also without a failed test or a report', () => {
  const report = JSON.stringify({ numPassedTests: 3, numFailedTests: 2 })
  expect(countsOf(report, false)).toEqual({ passed: 3, failed: 2 })
  expect(countsOf(JSON.stringify({ numPassedTests: 3, numFailedTests: 0 }), false)).toEqual({ passed: 3, failed: 1 })
  expect(countsOf(null, false)).toEqual({ passed: 0, failed: 1 })
  expect(countsOf(JSON.stringify({ numPassedTests: 3, numFailedTests: 0 }), true)).toEqual({ passed: 3, failed: 0 })
})

test('only a run in which every suite passed ends well', () => {
  expect(exitCode([outcome('spark'), outcome('flink')])).toBe(0)
  for (const state of ['failed', 'missing', 'not run'] as const)
    expect(exitCode([outcome('spark'), outcome('flink', { state })])).toBe(1)
})

test('a machine without Python and Chromium is told what to install, without a stack trace', async () => {
  const child = spawn(process.execPath, [join(ROOT, 'scripts', 'engines.ts'), 'superset', 'gold-page'], {
    env: { PATH: join(ROOT, 'streams'), HOME: process.env['HOME'] },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (printed += chunk.toString()))
  const code = await new Promise((resolve) => child.once('close', resolve))
  expect(code).toBe(1)
  expect(printed).toMatch(/superset +MISSING: no Python 3\.10 to 3\.13 on the PATH.*apt install python3-venv/)
  expect(printed).toMatch(/gold-page +MISSING: there is no Chromium: apt-get install chromium/)
  expect(printed).not.toMatch(/^\s+at /m)
})
