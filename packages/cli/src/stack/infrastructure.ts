import { join } from 'node:path'
import { archiveFile } from './archive.ts'
import { trainArchive } from './archive-training.ts'
import { portOf } from './environment.ts'
import { findJava, type Java } from './java.ts'
import { kafkaSpec } from './kafka.ts'
import { prepareFormat } from './kafka-format.ts'
import { fetchWithMaven } from './maven.ts'
import { findFreePorts, type PortMap } from './ports.ts'
import type { ChildSpec, Environment } from './process.ts'
import { registrySpec } from './registry.ts'
import { pidFile, type StateLayout } from './state.ts'
import type { Supervisor } from './supervisor.ts'

export type InfrastructureName = 'kafka' | 'registry'

export interface InfrastructureOptions {
  readonly codeDir: string
  readonly env: Environment
  readonly layout: StateLayout
  readonly ports: PortMap
  readonly tuning?: 'quick' | 'throughput' | undefined
  /** Ends downloads and the recording of archives; aborted here when one part fails, so the others are not waited for. */
  readonly background: AbortController
  readonly tell: (name: string, text: string) => void
}

export interface Infrastructure {
  /** Fetches and starts the parts, side by side; resolves when all are ready. */
  start(names: readonly InfrastructureName[], supervisor: Supervisor): Promise<void>
  /** Records the missing start-up archives, one after the other. */
  trainArchives(names: readonly InfrastructureName[]): Promise<void>
}

/** The Java programs of the local stack. */
export function createInfrastructure(options: InfrastructureOptions): Infrastructure {
  const { layout, tell } = options
  let java: Java
  const distributions = new Map<InfrastructureName, string>()

  async function start(names: readonly InfrastructureName[], supervisor: Supervisor): Promise<void> {
    if (names.length === 0) return
    java = await findJava({ javaHome: options.env.JAVA_HOME, path: options.env.PATH })
    const failures: unknown[] = []
    await Promise.all(
      names.map((name) =>
        startOne(name, supervisor).catch((error: unknown) => {
          failures.push(error)
          options.background.abort()
        }),
      ),
    )
    if (failures.length > 0) throw failures[0]
  }

  async function startOne(name: InfrastructureName, supervisor: Supervisor): Promise<void> {
    distributions.set(name, await distribution(name))
    const child = spec(name, { ports: options.ports, folder: layout[name], title: name })
    await supervisor.start([{ spec: child, port: portOf(options.ports, name), restarts: false }])
  }

  function distribution(name: InfrastructureName): Promise<string> {
    return fetchWithMaven({
      name,
      pom: join(options.codeDir, 'infra', 'local', name, 'pom.xml'),
      cache: layout.cache,
      java,
      env: options.env,
      signal: options.background.signal,
      onProgress: (text) => tell(name, text),
      prepare: (folder) => (name === 'kafka' ? prepareFormat(folder, java) : Promise.resolve()),
    })
  }

  function spec(
    name: InfrastructureName,
    run: { ports: PortMap; folder: string; title: string; archiveRecording?: readonly string[] },
  ): ChildSpec {
    const folder = distributions.get(name)
    if (folder === undefined) throw new RangeError(`${name} has not been fetched`)
    const shared = {
      java,
      distribution: folder,
      folder: run.folder,
      port: portOf(run.ports, name),
      logFile: join(layout.logs, `${run.title}.log`),
      pidFile: pidFile(layout, run.title),
      env: options.env,
      archive: archiveFile(folder, java),
      ...(run.archiveRecording ? { archiveRecording: run.archiveRecording } : {}),
    }
    return name === 'kafka'
      ? kafkaSpec({
          ...shared,
          controllerPort: portOf(run.ports, 'kafka-controller'),
          tuning: options.tuning ?? 'quick',
        })
      : registrySpec({ ...shared, managementPort: portOf(run.ports, 'registry-management') })
  }

  async function trainArchives(names: readonly InfrastructureName[]): Promise<void> {
    for (const name of names) {
      const folder = distributions.get(name)
      if (folder === undefined) continue
      await trainArchive({
        archive: archiveFile(folder, java),
        java,
        scratch: join(layout.run, `${name}-archive`),
        signal: options.background.signal,
        spec: async (scratch, archiveRecording) => {
          const ports = await findFreePorts([name, name === 'kafka' ? 'kafka-controller' : 'registry-management'])
          const title = `${name}-archive`
          return {
            ...spec(name, { ports, folder: scratch, title, archiveRecording }),
            name: title,
            stopTimeoutMs: 120_000,
          }
        },
      })
    }
  }

  return { start, trainArchives }
}
