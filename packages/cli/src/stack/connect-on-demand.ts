import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describeError } from '@mesh/shared/core/errors'
import { archiveFile } from './archive.ts'
import { trainArchive } from './archive-training.ts'
import { connectSpec } from './connect.ts'
import { findJava, type Java } from './java.ts'
import { fetchWithMaven } from './maven.ts'
import { findFreePorts, requireFreePorts } from './ports.ts'
import type { ChildSpec, Environment } from './process.ts'
import { pidFile, type StateLayout } from './state.ts'
import type { Supervisor } from './supervisor.ts'

export interface ConnectOnDemand {
  readonly codeDir: string
  readonly env: Environment
  readonly layout: StateLayout
  readonly port: number
  readonly kafkaBrokers: string
  readonly gatewayUrl: string
  readonly archives: boolean
  readonly supervisor: Supervisor
  readonly signal: AbortSignal
  readonly tell: (name: string, text: string) => void
}

const NAME = 'kafka-connect'
const ASK_MS = 1000
const LONGEST_RETRY_MS = 60_000

/**
 * Starts Kafka Connect when the gateway says that an applied stream wants it, and not before. A start that fails is told and tried
 * again; the stack goes on without it. Resolves when it runs, or at the abort.
 */
export async function startConnectOnDemand(options: ConnectOnDemand): Promise<void> {
  const { signal, tell } = options
  let pauseMs = ASK_MS
  while (!signal.aborted) {
    if (await isWanted(options.gatewayUrl)) {
      try {
        await startConnect(options)
        return
      } catch (error) {
        if (signal.aborted) return
        pauseMs = Math.min(pauseMs * 4, LONGEST_RETRY_MS)
        tell(NAME, `did not start, tried again in ${pauseMs / 1000} s: ${describeError(error)}`)
      }
    }
    await delay(pauseMs, undefined, { signal }).catch(() => undefined)
  }
}

async function isWanted(gatewayUrl: string): Promise<boolean> {
  try {
    const response = await fetch(`${gatewayUrl}/v1/sources`, { signal: AbortSignal.timeout(1000) })
    const { connectWanted } = (await response.json()) as { connectWanted?: boolean }
    return connectWanted === true
  } catch {
    return false // it is starting, or being started again
  }
}

async function startConnect(options: ConnectOnDemand): Promise<void> {
  const { layout, port, supervisor } = options
  const java = await findJava({ javaHome: options.env['JAVA_HOME'], path: options.env['PATH'] })
  const distribution = await fetchConnect(options, java)
  await requireFreePorts({ [NAME]: port })
  const archive = archiveFile(distribution, java)
  const shared = { java, distribution, kafkaBrokers: options.kafkaBrokers, env: options.env }
  const spec = connectSpec({
    ...shared,
    folder: layout.connect,
    port,
    logFile: join(layout.logs, `${NAME}.log`),
    pidFile: pidFile(layout, NAME),
    archive,
  })
  await supervisor.add({ spec, port, restarts: true })
  if (!options.archives) return
  await trainArchive({
    archive,
    java,
    scratch: join(layout.run, `${NAME}-archive`),
    signal: options.signal,
    spec: async (scratch, archiveRecording): Promise<ChildSpec> => {
      const title = `${NAME}-archive`
      const ports = await findFreePorts([NAME])
      return {
        ...connectSpec({
          ...shared,
          folder: scratch,
          port: ports[NAME]!,
          logFile: join(layout.logs, `${title}.log`),
          pidFile: pidFile(layout, title),
          archiveRecording,
        }),
        name: title,
        stopTimeoutMs: 120_000,
      }
    },
  })
}

/** The worker, Debezium and the mesh's transform, which is compiled on the way. */
export function fetchConnect(
  options: Pick<ConnectOnDemand, 'codeDir' | 'layout' | 'env' | 'signal' | 'tell'>,
  java: Java,
): Promise<string> {
  const folder = join(options.codeDir, 'infra', NAME)
  return fetchWithMaven({
    name: NAME,
    pom: join(folder, 'pom.xml'),
    inputs: sourcesIn(folder),
    goals: ['package', '-Dmaven.test.skip=true'],
    cache: options.layout.cache,
    java,
    env: options.env,
    signal: options.signal,
    onProgress: (text) => options.tell(NAME, text),
  })
}

/** What decides the build's result: a change of any of them is a new folder in the cache. */
function sourcesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(xml|java)$|Transformation$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !/[/\\](target|test)[/\\]/.test(file))
    .sort()
}
