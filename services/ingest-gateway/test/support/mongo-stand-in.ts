import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@mesh/shared/testing/free-port'
import { until } from '@mesh/shared/testing/until'
import { MongoClient } from 'mongodb'
import { findJava } from '../../../../packages/cli/src/stack/java.ts'
import { fetchWithMaven } from '../../../../packages/cli/src/stack/maven.ts'

const FOLDER = join(import.meta.dirname, 'mongo-stand-in')
const CACHE = join(import.meta.dirname, '../../../../.mesh/cache')

export type MongoStandIn = {
  readonly url: string
  /** For the test's own writes. */
  readonly client: MongoClient
  /** SIGKILL; data and oplog lie in a file. */
  kill(): Promise<void>
  /** Starts it again on the same port and file. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** mongo-java-server from Maven: true for inserts, deletes and resume tokens of one collection, and for nothing beyond. */
export async function startMongoStandIn(): Promise<MongoStandIn> {
  const java = await findJava({ javaHome: process.env['JAVA_HOME'], path: process.env['PATH'] })
  const pom = join(FOLDER, 'pom.xml')
  const lib = await fetchWithMaven({ name: 'mongo-stand-in', pom, cache: CACHE, java, env: process.env })
  const port = await freePort()
  const dir = await mkdtemp(join(tmpdir(), 'mesh-mongo-'))
  const url = `mongodb://127.0.0.1:${port}/?directConnection=true`
  const client = new MongoClient(url)
  let child: ChildProcess | null = null

  async function start(): Promise<void> {
    const flags = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
    const main = [join(FOLDER, 'MongoStandIn.java'), String(port), join(dir, 'data.h2')]
    const started = spawn(java.path, [...flags, '-cp', `${lib}/*`, ...main], { stdio: 'ignore' })
    child = started
    const ready = async (): Promise<boolean> => {
      if (started.exitCode !== null) throw new Error(`the stand-in ended with code ${started.exitCode}`)
      const probe = new MongoClient(url, { serverSelectionTimeoutMS: 500 })
      return probe
        .db('admin')
        .command({ ping: 1 })
        .then(() => true)
        .catch(() => false)
        .finally(() => void probe.close())
    }
    await until(ready, 'the stand-in to answer', 60_000)
  }

  async function kill(): Promise<void> {
    const ending = child
    child = null
    if (ending === null || ending.exitCode !== null) return
    const exited = once(ending, 'exit')
    ending.kill('SIGKILL')
    await exited
  }

  await start()
  return {
    url,
    client,
    kill,
    start,
    async stop() {
      await client.close()
      await kill()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
