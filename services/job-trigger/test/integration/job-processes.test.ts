import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { commitKey } from '@mesh/shared/core/books'
import { textBytes } from '@mesh/shared/core/record'
import type { JobsResponse, Run, RunsResponse } from '@mesh/shared/core/runs'
import { COMMITS_TOPIC, VERSIONS_TOPIC } from '@mesh/shared/core/topics'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import { freePort } from '@mesh/shared/testing/free-port'
import { expect, inject, onTestFailed, onTestFinished, test } from 'vitest'
import { commit, versions } from '../support/jobs.ts'

const SETTLE = { timeout: 60_000, interval: 100 }
const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.ts')

test('killed in the middle of a command: the next process finds it running, and nothing runs twice', async () => {
  const kafka = connectKafka({ brokers: inject('kafkaBrokers').split(','), clientId: 'job-trigger-test' })
  onTestFinished(() => kafka.close())
  await kafka.admin.ensureTopics(meshTopics())
  const producer = await kafka.producer()
  const stream = `jobs-${randomUUID().slice(0, 8)}`
  const put = (topic: string, key: string, value: unknown): Promise<unknown> => {
    const bytes = value === null ? null : textBytes(JSON.stringify(value))
    return producer.send(topic, [{ partition: 0, key: textBytes(key), value: bytes, headers: [] }])
  }
  await put(VERSIONS_TOPIC, stream, versions(stream))

  const project = mkdtempSync(join(tmpdir(), 'mesh-jobs-'))
  onTestFinished(() => rmSync(project, { recursive: true, force: true }))
  const begun = join(project, 'begun')
  const go = join(project, 'go')
  // Says that it began, then waits for a word.
  const script = `const fs = require('node:fs'); fs.appendFileSync(${JSON.stringify(begun)}, process.env.MESH_RUN_ID + '\\n');
    setInterval(() => fs.existsSync(${JSON.stringify(go)}) && process.exit(0), 20)`
  mkdirSync(join(project, 'jobs'))
  const inputs = `inputs: [{ stream: ${stream}, layer: landing }]\ncoalesce: { quiet: 50ms }\n`
  const run = JSON.stringify([process.execPath, '-e', script])
  writeFileSync(
    join(project, 'jobs', 'export.yaml'),
    `name: export\nengine: command\n${inputs}command: { run: ${run} }\n`,
  )
  writeFileSync(join(project, 'jobs', 'wrong.yaml'), `name: wrong\nengine: commnad\n${inputs}`)
  const lines = (): string[] => (existsSync(begun) ? readFileSync(begun, 'utf8').trim().split('\n') : [])

  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  let output = ''
  onTestFailed(() => console.error(output))
  function start(): ChildProcess {
    const child = spawn(process.execPath, [MAIN], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        MESH_KAFKA_BROKERS: inject('kafkaBrokers'),
        MESH_HTTP_PORT: String(port),
        MESH_STATE_DIR: join(project, 'state'),
        MESH_PROJECT_DIR: project,
      },
    })
    for (const pipe of [child.stdout!, child.stderr!]) pipe.on('data', (bytes) => (output += String(bytes)))
    onTestFinished(() => void child.kill('SIGKILL'))
    return child
  }
  const read = async <T>(path: string): Promise<T | null> =>
    (await fetch(`${url}${path}`)
      .then((response) => (response.ok ? response.json() : null))
      .catch(() => null)) as T | null
  const runs = async (): Promise<readonly Run[]> => (await read<RunsResponse>('/v1/runs?job=export'))?.runs ?? []

  const first = start()
  await put(COMMITS_TOPIC, commitKey(commit(10, { stream })), commit(10, { stream }))
  await expect.poll(async () => (await runs())[0]?.state, SETTLE).toBe('running')
  await expect.poll(lines, SETTLE).toHaveLength(1)
  const wrong = (await read<JobsResponse>('/v1/jobs'))!.jobs.find(({ name }) => name === 'wrong')
  expect(wrong!.error).toMatchObject({
    code: 'MESH_JOB_INVALID',
    message: expect.stringContaining('jobs/wrong.yaml:2'),
  })

  first.kill('SIGKILL')
  await once(first, 'exit')
  await put(COMMITS_TOPIC, commitKey(commit(25, { stream })), commit(25, { stream }))
  const second = start()
  await expect.poll(async () => (await runs())[0]?.state, SETTLE).toBe('running')
  expect(lines()).toHaveLength(1)
  writeFileSync(go, '')
  await expect.poll(async () => (await runs()).map(({ state }) => state), SETTLE).toEqual(['succeeded', 'succeeded'])
  const [later, earlier] = await runs()
  expect([earlier, later].map((each) => each!.vector.map(({ from, to }) => [from, to]))).toEqual([
    [[0, 10]],
    [[10, 25]],
  ])
  expect(lines()).toEqual([earlier!.id, later!.id])

  second.kill('SIGTERM')
  expect(await once(second, 'exit')).toEqual([0, null])
  await put(VERSIONS_TOPIC, stream, null)
}, 240_000)
