import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { commitKey } from '@mesh/shared/core/books'
import { textBytes } from '@mesh/shared/core/record'
import type { Run, RunsResponse } from '@mesh/shared/core/runs'
import { COMMITS_TOPIC, VERSIONS_TOPIC } from '@mesh/shared/core/topics'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { freePort } from '@mesh/shared/testing/free-port'
import { onTestFailed, onTestFinished } from 'vitest'
import { commit, versions } from './jobs.ts'

/** A stopped process never answers; a busy one takes its time. */
const ANSWER_MS = 10_000

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.ts')

/** A stream that nobody else has, and a project folder with jobs over its landing layer. */
export type JobProject = {
  readonly kafka: KafkaPort
  readonly stream: string
  readonly folder: string
  /** The stream's landing layer has come to the offset. */
  commits(nextOffset: number): Promise<void>
  putJob(name: string, engine: string, options?: readonly string[]): void
  /** Lines of the file `begun`, which jobs of the test append to. */
  readonly begun: () => string[]
  start(): Promise<JobProcess>
  /** The stream is gone: other tests of the broker have nothing of it. */
  forget(): Promise<void>
}

export type JobProcess = {
  readonly child: ChildProcess
  read<T>(path: string): Promise<T | null>
  runs(job: string): Promise<readonly Run[]>
}

export async function createJobProject(brokers: string): Promise<JobProject> {
  const kafka = connectKafka({ brokers: brokers.split(','), clientId: 'job-trigger-test' })
  onTestFinished(() => kafka.close())
  await kafka.admin.ensureTopics(meshTopics())
  const producer = await kafka.producer()
  const stream = `jobs-${randomUUID().slice(0, 8)}`
  const put = async (topic: string, key: string, value: unknown): Promise<void> => {
    const bytes = value === null ? null : textBytes(JSON.stringify(value))
    await producer.send(topic, [{ partition: 0, key: textBytes(key), value: bytes, headers: [] }])
  }
  await put(VERSIONS_TOPIC, stream, versions(stream))
  const folder = mkdtempSync(join(tmpdir(), 'mesh-jobs-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
  mkdirSync(join(folder, 'jobs'))
  const begun = join(folder, 'begun')

  return {
    kafka,
    stream,
    folder,
    async commits(nextOffset) {
      const event = commit(nextOffset, { stream })
      await put(COMMITS_TOPIC, commitKey(event), event)
    },
    putJob(name, engine, options = []) {
      const lines = [
        `name: ${name}`,
        `engine: ${engine}`,
        `inputs: [{ stream: ${stream}, layer: landing }]`,
        'coalesce: { quiet: 50ms }',
        ...options,
      ]
      writeFileSync(join(folder, 'jobs', `${name}.yaml`), `${lines.join('\n')}\n`)
    },
    begun: () => (existsSync(begun) ? readFileSync(begun, 'utf8').trim().split('\n') : []),
    async start() {
      const port = await freePort()
      let output = ''
      onTestFailed(() => console.error(output))
      const child = spawn(process.execPath, [MAIN], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          PATH: process.env['PATH'],
          MESH_KAFKA_BROKERS: brokers,
          MESH_HTTP_PORT: String(port),
          MESH_STATE_DIR: join(folder, 'state'),
          MESH_PROJECT_DIR: folder,
        },
      })
      for (const pipe of [child.stdout, child.stderr]) pipe.on('data', (bytes) => (output += String(bytes)))
      // The folder is removed after it: nothing may write into it any more.
      onTestFinished(async () => {
        if (child.exitCode !== null || child.signalCode !== null) return
        child.kill('SIGKILL')
        await once(child, 'exit')
      })
      const read = async <T>(path: string): Promise<T | null> =>
        (await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(ANSWER_MS) })
          .then((response) => (response.ok ? response.json() : null))
          .catch(() => null)) as T | null
      return { child, read, runs: async (job) => (await read<RunsResponse>(`/v1/runs?job=${job}`))?.runs ?? [] }
    },
    forget: () => put(VERSIONS_TOPIC, stream, null),
  }
}

/** A job's program: appends the run's id to `begun`, then does as told. */
export function program(project: JobProject, then: string): string {
  const file = JSON.stringify(join(project.folder, 'begun'))
  const script = `const fs = require('node:fs'); fs.appendFileSync(${file}, process.env.MESH_RUN_ID + '\\n'); ${then}`
  return `command: { run: ${JSON.stringify([process.execPath, '-e', script])} }`
}
