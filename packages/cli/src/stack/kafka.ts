import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { archiveFlags } from './archive.ts'
import type { Java } from './java.ts'
import { formatLogDir, kafkaClassPath, serverProperties } from './kafka-format.ts'
import { isBrokerReady } from './kafka-probe.ts'
import { HOST } from './ports.ts'
import type { ChildSpec, Environment } from './process.ts'

export interface KafkaOptions {
  readonly java: Java
  /** The folder that `fetchWithMaven` filled. */
  readonly distribution: string
  /** Data and configuration of this broker. */
  readonly folder: string
  readonly port: number
  readonly controllerPort: number
  readonly logFile: string
  readonly pidFile: string
  readonly env: Environment
  /** `quick` starts fast; `throughput` keeps the optimising compiler, for measurements. */
  readonly tuning: 'quick' | 'throughput'
  /** The start-up archive, used when it exists; see archive.ts. */
  readonly archive?: string
  /** Flags that make this run record one. */
  readonly archiveRecording?: readonly string[]
}

/** Writes the configuration, formats the data folder if it is new, and says how to run the broker. */
export function kafkaSpec(options: KafkaOptions): ChildSpec {
  const { java, distribution, folder, port, controllerPort } = options
  mkdirSync(folder, { recursive: true })
  const logDir = join(folder, 'log')
  formatLogDir(distribution, logDir)
  const properties = join(folder, 'server.properties')
  writeFileSync(properties, serverProperties({ port, controllerPort, logDir }))
  const jvm = options.tuning === 'quick' ? ['-Xmx256m', '-XX:TieredStopAtLevel=1'] : ['-Xmx512m']
  return {
    name: 'kafka',
    command: java.path,
    args: [
      ...jvm,
      '-XX:+UseSerialGC',
      '-XX:+ExitOnOutOfMemoryError',
      ...(options.archiveRecording ?? archiveFlags(java, options.archive)),
      '-cp',
      kafkaClassPath(distribution),
      'kafka.Kafka',
      properties,
    ],
    env: options.env,
    cwd: folder,
    logFile: options.logFile,
    pidFile: options.pidFile,
    isReady: () => isBrokerReady(HOST, port),
    readyTimeoutMs: 90_000,
    stopTimeoutMs: 30_000,
  }
}
