import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import { findJava } from '../../packages/cli/src/stack/java.ts'
import { kafkaClassPath } from '../../packages/cli/src/stack/kafka-format.ts'
import { fetchWithMaven } from '../../packages/cli/src/stack/maven.ts'
import { startStack } from '../../packages/cli/src/stack/stack.ts'
import { JAVA, type RoleMeasurement } from './clients-table.ts'
import { consumerCeiling, producerCeiling } from './java-ceiling.ts'
import { type MachineFacts, machineFacts } from './machine.ts'
import type { BareResult } from './meter.ts'
import { sampleValue, writePayloadFile } from './payload.ts'
import { runTool } from './run-tool.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const PARTITIONS = 6
export const VALUE_BYTES = 300
const CLIENTS = ['kafkajs', 'platformatic'] as const
const CODECS = ['none', 'zstd'] as const
const SHAPES = ['gateway', 'enricher'] as const

export type ClientBench = { readonly machine: MachineFacts; readonly measurements: readonly RoleMeasurement[] }

export type ClientBenchSetup = {
  readonly stateDir: string
  readonly records: number
  readonly rounds: number
  readonly signal: AbortSignal
  readonly onMeasured: (measurement: RoleMeasurement) => void
}

/** Every client in every role, one after another and round after round, each in a process and on a topic of its own. */
export async function benchClients(setup: ClientBenchSetup): Promise<ClientBench> {
  const { stateDir, records, rounds, signal, onMeasured } = setup
  const cacheDir = join(ROOT, '.mesh', 'cache')
  mkdirSync(stateDir, { recursive: true })
  const stack = await startStack({
    stateDir,
    cacheDir,
    codeDir: ROOT,
    env: process.env,
    ports: 'free',
    only: ['kafka'],
    tuning: 'throughput',
    archives: false,
    fresh: true,
    signal,
  })
  const brokers = stack.addresses.kafkaBrokers
  const kafka = connectKafka({ brokers: brokers.split(','), clientId: 'bench' })
  const measurements: RoleMeasurement[] = []

  function add(measurement: RoleMeasurement): void {
    measurements.push(measurement)
    onMeasured(measurement)
  }

  async function withTopic(work: (topic: string) => Promise<void>): Promise<void> {
    const topic = `role-${measurements.length}-${Date.now()}`
    await kafka.admin.ensureTopics([{ name: topic, partitions: PARTITIONS, config: {} }])
    await work(topic)
    await kafka.admin.deleteTopics([topic])
  }

  async function role(name: string, [mode, topic, ...how]: readonly string[]): Promise<RoleMeasurement> {
    const program = join(import.meta.dirname, 'client-role.ts')
    const args = [program, mode!, brokers, topic!, String(records), ...how]
    const output = await runTool(process.execPath, args, signal)
    const { perSecond, cpuSeconds, peakMb } = JSON.parse(output.trim().split('\n').at(-1) ?? '') as BareResult
    return { role: name, client: how[0]!, perSecond, perCpuSecond: records / cpuSeconds, peakMb }
  }

  try {
    const java = await findJava({ javaHome: process.env['JAVA_HOME'], path: process.env['PATH'] })
    const pom = join(ROOT, 'infra', 'local', 'kafka', 'pom.xml')
    const distribution = await fetchWithMaven({ name: 'kafka', pom, cache: cacheDir, java, env: process.env })
    const tools = { java: java.path, classPath: kafkaClassPath(distribution), brokers, signal }
    const payloadFile = join(stateDir, 'values.ndjson')
    await writePayloadFile(
      payloadFile,
      Array.from({ length: 10_000 }, (_, i) => sampleValue(i, VALUE_BYTES)),
    )
    for (let round = 0; round < rounds; round++) {
      for (const codec of CODECS) {
        for (const shape of SHAPES) {
          for (const client of CLIENTS) {
            await withTopic(async (topic) => {
              add(await role(`publish as the ${shape}, ${codec}`, ['publish', topic, client, shape, codec]))
            })
          }
        }
        await withTopic(async (topic) => {
          await role('to fill the topic', ['publish', topic, 'platformatic', 'enricher', codec])
          for (const client of CLIENTS) add(await role(`consume, ${codec}`, ['consume', topic, client]))
        })
      }
      await withTopic(async (topic) => {
        const tool = { client: JAVA, perCpuSecond: null, peakMb: null }
        const produced = await producerCeiling(tools, { topic, records, payloadFile })
        add({ ...tool, role: 'publish values alone, zstd', perSecond: produced })
        const consumed = await consumerCeiling(tools, { topic, records: records * 2 })
        add({ ...tool, role: 'consume values alone, zstd', perSecond: consumed })
      })
    }
    return { machine: machineFacts(distribution, java.version), measurements }
  } finally {
    await kafka.close()
    await stack.stop()
  }
}
