import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { archiveFlags } from './archive.ts'
import type { Java } from './java.ts'
import { kafkaClassPath } from './kafka-format.ts'
import { HOST } from './ports.ts'
import type { ChildSpec, Environment } from './process.ts'
import { isUp } from './registry.ts'

export interface ConnectOptions {
  readonly java: Java
  /** The folder that `fetchWithMaven` filled: lib/ and plugins/. */
  readonly distribution: string
  readonly folder: string
  readonly port: number
  readonly kafkaBrokers: string
  readonly logFile: string
  readonly pidFile: string
  /** Secrets that sources name as env:NAME are read from it by the worker. */
  readonly env: Environment
  readonly archive?: string
  /** Flags that make this run record one; such a run is a standalone worker, which leaves nothing in Kafka. */
  readonly archiveRecording?: readonly string[]
}

const LARGEST_RECORD = 4 * 1024 * 1024

export function connectUrl(port: number): string {
  return `http://${HOST}:${port}`
}

/** One distributed worker with exactly-once source support. */
export function connectSpec(options: ConnectOptions): ChildSpec {
  const { java, distribution, folder, port } = options
  mkdirSync(folder, { recursive: true })
  const recording = options.archiveRecording !== undefined
  const properties = join(folder, 'worker.properties')
  writeFileSync(properties, workerProperties(options, recording))
  const main = recording ? 'ConnectStandalone' : 'ConnectDistributed'
  return {
    name: 'kafka-connect',
    command: java.path,
    args: [
      '-Xmx512m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      '-XX:+ExitOnOutOfMemoryError',
      ...(options.archiveRecording ?? archiveFlags(java, options.archive)),
      '-cp',
      kafkaClassPath(distribution),
      `org.apache.kafka.connect.cli.${main}`,
      properties,
    ],
    env: options.env,
    cwd: folder,
    logFile: options.logFile,
    pidFile: options.pidFile,
    isReady: () => isUp(`${connectUrl(port)}/connectors`),
    readyTimeoutMs: 90_000,
    stopTimeoutMs: 20_000,
  }
}

/** The worker's configuration. Its three topics are the mesh's: it makes them with one replica, as the local broker has it. */
export function workerProperties(
  {
    distribution,
    folder,
    port,
    kafkaBrokers,
  }: Pick<ConnectOptions, 'distribution' | 'folder' | 'port' | 'kafkaBrokers'>,
  standalone = false,
): string {
  const storage = standalone
    ? { 'offset.storage.file.filename': join(folder, 'offsets') }
    : {
        'group.id': 'mesh.connect',
        'config.storage.topic': 'mesh.connect.configs',
        'config.storage.replication.factor': 1,
        'offset.storage.topic': 'mesh.connect.offsets',
        'offset.storage.replication.factor': 1,
        'offset.storage.partitions': 5,
        'status.storage.topic': 'mesh.connect.status',
        'status.storage.replication.factor': 1,
        'status.storage.partitions': 2,
        'exactly.once.source.support': 'enabled',
        'scheduled.rebalance.max.delay.ms': 0,
        // After a kill -9 the next worker waits this long for the session of the old one.
        'session.timeout.ms': 6000,
        'heartbeat.interval.ms': 1000,
      }
  const properties: Record<string, string | number> = {
    'bootstrap.servers': kafkaBrokers,
    ...storage,
    listeners: connectUrl(port),
    'rest.advertised.host.name': HOST,
    'rest.advertised.port': port,
    'plugin.path': join(distribution, 'plugins'),
    'plugin.discovery': 'service_load',
    'key.converter': 'org.apache.kafka.connect.storage.StringConverter',
    'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'value.converter.schemas.enable': 'false',
    'offset.flush.interval.ms': 1000,
    // Secrets stay out of connector configurations: `${env:NAME}`, and `${dir:/folder:file}` for a file.
    'config.providers': 'env,dir',
    'config.providers.env.class': 'org.apache.kafka.common.config.provider.EnvVarConfigProvider',
    'config.providers.dir.class': 'org.apache.kafka.common.config.provider.DirectoryConfigProvider',
    'producer.max.request.size': LARGEST_RECORD,
    'producer.linger.ms': 5,
    'producer.batch.size': 131_072,
  }
  return `${Object.entries(properties)
    .map(([key, value]) => `${key}=${value}`)
    .join('\n')}\n`
}
