import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { archiveFlags } from './archive.ts'
import type { Java } from './java.ts'
import { HOST } from './ports.ts'
import type { ChildSpec, Environment } from './process.ts'

export interface RegistryOptions {
  readonly java: Java
  /** The folder that `fetchWithMaven` filled. */
  readonly distribution: string
  /** Where the H2 file lives. */
  readonly folder: string
  readonly port: number
  readonly managementPort: number
  readonly logFile: string
  readonly pidFile: string
  readonly env: Environment
  readonly archive?: string
  readonly archiveRecording?: readonly string[]
}

/** The Confluent-compatible API of the registry. */
export function registryUrl(port: number): string {
  return `http://${HOST}:${port}/apis/ccompat/v7`
}

/** Apicurio on an H2 file. The management port is named too: without that it listens on every address, at 9000. */
export function registrySpec(options: RegistryOptions): ChildSpec {
  const { java, distribution, folder, port, managementPort } = options
  mkdirSync(folder, { recursive: true })
  const settings = {
    'quarkus.http.host': HOST,
    'quarkus.http.port': port,
    'quarkus.management.host': HOST,
    'quarkus.management.port': managementPort,
    'quarkus.banner.enabled': false,
    'quarkus.console.color': false,
    'apicurio.storage.kind': 'sql',
    'apicurio.storage.sql.kind': 'h2',
    'apicurio.datasource.url': `jdbc:h2:file:${join(folder, 'registry')}`,
  }
  return {
    name: 'registry',
    command: java.path,
    args: [
      '-Xmx256m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      '-XX:+ExitOnOutOfMemoryError',
      ...(options.archiveRecording ?? archiveFlags(java, options.archive)),
      ...Object.entries(settings).map(([key, value]) => `-D${key}=${value}`),
      '-jar',
      join(distribution, 'app', 'quarkus-run.jar'),
    ],
    env: options.env,
    cwd: folder,
    logFile: options.logFile,
    pidFile: options.pidFile,
    isReady: () => isUp(`http://${HOST}:${managementPort}/health/ready`),
    readyTimeoutMs: 90_000,
    stopTimeoutMs: 20_000,
  }
}

/** Whether a GET is answered with 200 within a second. */
export async function isUp(url: string): Promise<boolean> {
  const response = await fetch(url, { signal: AbortSignal.timeout(1000) })
  await response.body?.cancel()
  return response.status === 200
}
