import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { openObjectStore } from '@mesh/shared/lake/open-object-store'
import type { GatewayAddress } from '../../packages/cli/src/gateway-client.ts'
import { findJava } from '../../packages/cli/src/stack/java.ts'
import { kafkaClassPath } from '../../packages/cli/src/stack/kafka-format.ts'
import { fetchWithMaven } from '../../packages/cli/src/stack/maven.ts'
import type { Environment } from '../../packages/cli/src/stack/process.ts'
import { firstApiKey, withLocalSecrets } from '../../packages/cli/src/stack/secrets.ts'
import { startStack } from '../../packages/cli/src/stack/stack.ts'
import { pidFile, readMark, stateLayout } from '../../packages/cli/src/stack/state.ts'
import { applyStreams } from '../../packages/cli/src/streams/apply.ts'
import { type BenchStream, putStream, STREAM } from './bench-streams.ts'
import type { JavaTools } from './java-ceiling.ts'
import { type MachineFacts, machineFacts } from './machine.ts'
import { type Usage, usageOf } from './process-usage.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const SERVICES = ['replayer', 'ingest-gateway', 'enricher', 'lake-sink', 'warehouse-sink']

export type BenchSetup = {
  readonly stateDir: string
  readonly records: number
  /** Where services leave CPU profiles when they end; null for none. */
  readonly profileDir: string | null
  readonly signal: AbortSignal
}

/** A mesh whose broker and registry run, whose stream is applied, and whose services all wait stopped. */
export type BenchMesh = {
  readonly kafka: KafkaPort
  readonly gateway: GatewayAddress
  readonly replayerUrl: string
  readonly tools: JavaTools
  readonly machine: MachineFacts
  /** The rows after which the sinks write; what is left of a backlog waits for an interval. */
  readonly flush: FlushRows
  /** What a service's process is told of the mesh around it. */
  readonly environment: Environment
  /** Applies a stream; the replayer runs. */
  apply(stream: BenchStream): Promise<void>
  start(service: string): Promise<void>
  stop(service: string): Promise<void>
  /** CPU time and memory of a process of the mesh, `kafka` too; null before it is spawned. */
  usage(name: string): Promise<(Usage & { readonly pid: number }) | null>
  close(): Promise<void>
}

export type FlushRows = { readonly lakeSink: number; readonly warehouseSink: number }

/** Small enough for several flushes in one backlog, at most what the services have by default. */
export function flushRows(records: number): FlushRows {
  return {
    lakeSink: Math.min(50_000, Math.ceil(records / 24)),
    warehouseSink: Math.min(50_000, Math.ceil(records / 8)),
  }
}

export async function startBenchMesh({ stateDir, records, profileDir, signal }: BenchSetup): Promise<BenchMesh> {
  mkdirSync(stateDir, { recursive: true })
  const cacheDir = join(ROOT, '.mesh', 'cache')
  const flush = flushRows(records)
  const env: Environment = {
    ...withLocalSecrets(stateDir, process.env),
    MESH_LAKE_SINK_FLUSH_ROWS: String(flush.lakeSink),
    MESH_LAKE_SINK_FLUSH_INTERVAL: '2s',
    MESH_WAREHOUSE_SINK_FLUSH_ROWS: String(flush.warehouseSink),
    ...(profileDir === null ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profileDir}` }),
  }
  const stack = await startStack({
    stateDir,
    cacheDir,
    codeDir: ROOT,
    env,
    ports: 'free',
    services: SERVICES,
    tuning: 'throughput',
    archives: false,
    fresh: true,
    signal,
  })
  const died = new AbortController()
  stack.onExit(({ name, lastLines }) => died.abort(new Error(`${name} ended unexpectedly:\n${lastLines}`)))
  const layout = stateLayout(stateDir, cacheDir)
  const { addresses } = stack
  const kafka = connectKafka({ brokers: addresses.kafkaBrokers.split(','), clientId: 'bench' })
  const replayerUrl = addresses.services['replayer']!
  async function close(): Promise<void> {
    await kafka.close()
    await stack.stop()
  }
  try {
    const projectRoot = join(stateDir, 'project')
    const store = openObjectStore({ url: addresses.lakeUrl })
    async function apply(stream: BenchStream): Promise<void> {
      putStream(projectRoot, stream)
      await applyStreams({ projectRoot, store, replayerUrl, only: [stream] })
    }
    await apply(STREAM)
    await Promise.all(SERVICES.map((name) => stack.stopService(name)))
    const java = await findJava({ javaHome: env['JAVA_HOME'], path: env['PATH'] })
    const pom = join(ROOT, 'infra', 'local', 'kafka', 'pom.xml')
    const distribution = await fetchWithMaven({ name: 'kafka', pom, cache: cacheDir, java, env })
    return {
      kafka,
      gateway: { url: addresses.services['ingest-gateway']!, apiKey: firstApiKey(env) },
      replayerUrl,
      tools: {
        java: java.path,
        classPath: kafkaClassPath(distribution),
        brokers: addresses.kafkaBrokers,
        signal: AbortSignal.any([signal, died.signal]),
      },
      machine: machineFacts(distribution, java.version),
      flush,
      environment: {
        MESH_KAFKA_BROKERS: addresses.kafkaBrokers,
        MESH_REGISTRY_URL: addresses.registryUrl,
        MESH_LAKE_URL: addresses.lakeUrl,
      },
      apply,
      start: (service) => stack.startService(service),
      stop: (service) => stack.stopService(service),
      async usage(name) {
        const pid = readMark(pidFile(layout, name))?.pid
        return pid === undefined ? null : { pid, ...(await usageOf(pid)) }
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}
