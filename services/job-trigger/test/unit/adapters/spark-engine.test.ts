import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '@mesh/shared/testing/until'
import { afterAll, expect, test } from 'vitest'
import { createSparkEngine, type SparkEngineOptions } from '../../../src/adapters/spark-engine.ts'
import type { JobEngine } from '../../../src/core/ports.ts'
import { describeEngine, executionOf } from '../../support/engine-contract.ts'
import { job } from '../../support/jobs.ts'

const root = mkdtempSync(join(tmpdir(), 'mesh-spark-'))
const home = join(root, 'spark')
mkdirSync(join(home, 'bin'), { recursive: true })
// In place of Spark: counts its starts, prints what it was called with, and does as the program's name says.
writeFileSync(
  join(home, 'bin', 'spark-submit'),
  `#!${process.execPath}
const fs = require('node:fs')
fs.appendFileSync(process.env.MESH_EXECUTION_ID, 'begun\\n')
const { JAVA_HOME: java, PYSPARK_PYTHON: python, SPARK_LOCAL_IP: localIp = null } = process.env
console.log(JSON.stringify({ args: process.argv.slice(2), java, python, localIp }))
if (process.argv.includes(${JSON.stringify(join(root, 'bad.py'))})) process.exit(1)
if (process.argv.includes(${JSON.stringify(join(root, 'endless.py'))})) setInterval(() => {}, 1000)
else fs.writeFileSync(process.env.MESH_OUTPUTS, JSON.stringify([{ name: 'out/run=1', status: 'success' }]))
`,
)
chmodSync(join(home, 'bin', 'spark-submit'), 0o755)
for (const app of ['good.py', 'bad.py', 'endless.py']) writeFileSync(join(root, app), '')

const make = (more: Partial<SparkEngineOptions> = {}): JobEngine =>
  createSparkEngine({
    stateDir: join(root, 'state'),
    projectDir: root,
    env: { PATH: process.env['PATH'] },
    spark: { home, python: '/venv/bin/python', jars: ['/jars/a.jar', '/jars/b.jar'], javaHome: '/java' },
    missing: 'MESH_SPARK_HOME is not set',
    ...more,
  })
const engine = make()
afterAll(async () => {
  await engine.close()
  rmSync(root, { recursive: true, force: true })
})

const program = (app: string, more: object = {}) => ({ engine: 'spark' as const, options: { app, ...more } })
const begun = (id: string): number =>
  existsSync(join(root, id)) ? readFileSync(join(root, id), 'utf8').trim().split('\n').length : 0

describeEngine('spark', {
  engine: () => engine,
  jobs: { good: program('good.py'), bad: program('bad.py'), endless: program('endless.py') },
  begun,
  away: null,
  afterKill: () => make(),
  cancels: true,
})

test("a job's conf overrules the defaults, and its arguments follow the program", async () => {
  const execution = executionOf(
    job({ name: 'conf', ...program('good.py', { args: ['out'], conf: { 'spark.driver.memory': '4g' } }) }),
  )
  await engine.submit(execution)
  await until(async () => (await engine.status(execution)).state === 'succeeded', 'the program to end')
  const { args, java, python } = JSON.parse((await engine.logs(execution))!) as Record<string, string[] | string>
  expect(args!.slice(0, 4)).toEqual(['--master', 'local[2]', '--name', execution.id])
  expect(args).toContain('spark.driver.memory=4g')
  expect(args).not.toContain('spark.driver.memory=1g')
  expect(args).toContain('spark.jars=/jars/a.jar,/jars/b.jar')
  expect(args!.slice(-2)).toEqual([join(root, 'good.py'), 'out'])
  expect({ java, python }).toEqual({ java: '/java', python: '/venv/bin/python' })
  expect(await engine.status(execution)).toMatchObject({ result: { outputs: [{ name: 'out/run=1' }] } })
})

test('a driver listens on 127.0.0.1 alone, unless executors elsewhere must reach it', async () => {
  for (const [name, master, address] of [
    ['here', 'local[1]', '127.0.0.1'],
    ['cluster', 'spark://host:7077', null],
  ] as const) {
    const execution = executionOf(job({ name, ...program('good.py', { master }) }))
    await engine.submit(execution)
    await until(async () => (await engine.status(execution)).state === 'succeeded', 'the program to end')
    const { args, localIp } = JSON.parse((await engine.logs(execution))!) as { args: string[]; localIp: string | null }
    expect(args.slice(0, 2)).toEqual(['--master', master])
    expect(args.includes('spark.driver.bindAddress=127.0.0.1')).toBe(address !== null)
    expect(localIp).toBe(address)
  }
})

test('without Spark, or without the program, the run waits and says why', async () => {
  await expect(make({ spark: null }).submit(executionOf(job(program('good.py'))))).rejects.toMatchObject({
    code: 'MESH_JOB_ENGINE_AWAY',
    message: 'MESH_SPARK_HOME is not set',
  })
  await expect(engine.submit(executionOf(job(program('gone.py'))))).rejects.toMatchObject({
    code: 'MESH_JOB_ENGINE_AWAY',
    place: join(root, 'gone.py'),
  })
})
