import { join } from 'node:path'
import { describeError, isMeshError, MeshError } from '@mesh/shared/core/errors'
import { startConnectOnDemand } from './connect-on-demand.ts'
import { installDbt, usesDbt } from './dbt.ts'
import { addressesOf, portOf, type StackAddresses, serviceEnvironment } from './environment.ts'
import { createInfrastructure, type InfrastructureName } from './infrastructure.ts'
import { DEFAULT_PORTS, findFreePorts, type PortMap, requireFreePorts } from './ports.ts'
import type { ChildSpec, Environment } from './process.ts'
import { stopOrphans } from './recovery.ts'
import { SERVICES, serviceSpec, stagesFor } from './service.ts'
import {
  createFolders,
  markOf,
  type ProcessMark,
  pidFile,
  removeStored,
  type StateLayout,
  stateLayout,
  takeLock,
  writeJson,
} from './state.ts'
import { createSupervisor, type ProcessDeath, type ProcessStatus, type SupervisedChild } from './supervisor.ts'

export interface StackOptions {
  /** Absolute. Everything of this stack lives in it; one stack at a time. */
  readonly stateDir: string
  /** Default `<stateDir>/cache`; several stacks may share one. */
  readonly cacheDir?: string | undefined
  /** The repository folder that holds `services/` and `infra/`. */
  readonly codeDir: string
  readonly env: Environment
  readonly ports: 'fixed' | 'free'
  /** Fixed ports that differ from the defaults. */
  readonly portOverrides?: PortMap | undefined
  /** The folder with `streams/`, `jobs/` and `transforms/`. Default: none, and no job runs. */
  readonly projectDir?: string | undefined
  /** The infrastructure to start; default both. */
  readonly only?: readonly InfrastructureName[] | undefined
  /** Default: none when `only` is given, else all. */
  readonly services?: readonly string[] | undefined
  /** Default `<codeDir>/services`. */
  readonly servicesDir?: string | undefined
  /** More servers, started beside the infrastructure and before the services. */
  readonly extras?: readonly ExtraServer[] | undefined
  /** Removes what an earlier stack stored (not the cache). */
  readonly fresh?: boolean | undefined
  readonly tuning?: 'quick' | 'throughput' | undefined
  /** Records start-up archives in the background when they are missing. */
  readonly archives?: boolean | undefined
  readonly onProgress?: ((progress: StackProgress) => void) | undefined
  /** Cancels the start. */
  readonly signal?: AbortSignal | undefined
}

/** A server that a demonstration or a test brings along. */
export interface ExtraServer {
  /** Also its name in the port table, or a free port. */
  readonly name: string
  spec(place: { port: number; layout: StateLayout; env: Environment }): ChildSpec
  /** What the services are told of it. */
  environment(port: number): Environment
}

/** One thing worth a line on the screen. */
export interface StackProgress {
  /** The process it is about, or `stack`. */
  readonly name: string
  readonly text: string
}

export interface Stack {
  readonly addresses: StackAddresses
  readonly ports: PortMap
  processes(): readonly ProcessStatus[]
  /** Stops everything in reverse order and gives the state folder free. */
  stop(): Promise<void>
  kill(name: string, signal: NodeJS.Signals): boolean
  restart(name: string, signal?: NodeJS.Signals): Promise<void>
  /** Stops one service, which keeps its address and stays stopped until `startService`. */
  stopService(name: string): Promise<void>
  /** Starts a stopped service again; resolves when it is ready. */
  startService(name: string): Promise<void>
  /** Called for every process that ends without being asked to. Returns the way to unsubscribe. */
  onExit(listener: (death: ProcessDeath) => void): () => void
  /** Resolves when the stack has stopped: null, or why it could not go on. */
  readonly done: Promise<MeshError | null>
}

/** What `stack.json` holds while a stack runs. */
export interface StackFile {
  readonly supervisor: ProcessMark
  readonly startedAt: string
  readonly ready: boolean
  readonly addresses: StackAddresses
  readonly ports: PortMap
  readonly processes: readonly ProcessStatus[]
}

/**
 * Starts the local stack and resolves when all of it is ready. On any failure everything is stopped again and the
 * error is thrown: MESH_STACK_BUSY, _PORT_TAKEN, _JAVA_MISSING, _MAVEN_MISSING, _DOWNLOAD, _DISK_FULL, _CHILD_FAILED.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const layout = stateLayout(options.stateDir, options.cacheDir)
  createFolders(layout)
  const release = lockState(layout)
  try {
    const orphans = await stopOrphans(layout)
    if (orphans.length > 0) {
      options.onProgress?.({ name: 'stack', text: `stopped what an earlier stack left running: ${orphans.join(', ')}` })
    }
    if (options.fresh) {
      removeStored(layout)
      createFolders(layout)
    }
    return await runStack(options, layout, release)
  } catch (error) {
    release()
    throw error
  }
}

export function lockFile(layout: StateLayout): string {
  return join(layout.run, 'stack.lock')
}

function lockState(layout: StateLayout): () => void {
  const lock = takeLock(lockFile(layout), 'stack')
  if (typeof lock === 'function') return lock
  throw new MeshError('MESH_STACK_BUSY', `a stack is running on this state folder (pid ${lock.pid})`, {
    place: layout.root,
  })
}

async function runStack(options: StackOptions, layout: StateLayout, release: () => void): Promise<Stack> {
  const wanted: readonly InfrastructureName[] = options.only ?? ['kafka', 'registry']
  const services = options.services ?? (options.only ? [] : SERVICES)
  const extras = options.extras ?? []
  const ports = await choosePorts(options, wanted, [...extras.map(({ name }) => name), ...services])
  const env = Object.assign({}, options.env, ...extras.map((e) => e.environment(portOf(ports, e.name)))) as Environment
  const addresses = addressesOf(layout, ports, services)
  const supervisorMark = markOf('stack', process.pid)
  const startedAt = new Date().toISOString()
  const listeners = new Set<(death: ProcessDeath) => void>()
  const tell = (name: string, text: string): void => options.onProgress?.({ name, text })
  let ready = false

  const supervisor = createSupervisor({
    onChange: (status) => {
      if (status.state !== 'stopped') tell(status.name, status.state)
      save()
    },
    onDeath: (death) => {
      tell(death.name, `ended unexpectedly (${death.exit.signal ?? `exit code ${death.exit.code}`})`)
      for (const listener of listeners) listener(death)
    },
  })

  /** For readers in other processes. The stack itself lives on without it: a full disk must not keep it from stopping. */
  function save(): void {
    const processes = supervisor.processes()
    try {
      writeJson(layout.stackFile, { supervisor: supervisorMark, startedAt, ready, addresses, ports, processes })
    } catch (error) {
      tell('stack', `${layout.stackFile} could not be written: ${describeError(error)}`)
    }
  }

  const background = new AbortController()
  let connecting: Promise<void> = Promise.resolve()
  let training: Promise<void> = Promise.resolve()
  const done = supervisor.done.then(async (failure) => {
    background.abort()
    await Promise.all([training, connecting])
    ready = false
    save()
    release()
    return failure
  })
  const onAbort = (): void => {
    background.abort()
    void supervisor.stop()
  }
  options.signal?.addEventListener('abort', onAbort)

  try {
    const infrastructure = createInfrastructure({ ...options, layout, ports, tell, background })
    // Side by side with Kafka's start: installing dbt, the first time, is a download too.
    const dbt = services.includes('job-trigger') ? findDbt(options, layout, tell, background.signal) : null
    // Awaited where job-trigger starts; a start that fails before must not leave a rejection behind.
    dbt?.catch(() => undefined)
    await infrastructure.start(wanted, supervisor)
    await supervisor.start(extras.map((extra) => extraChild(extra)))
    for (const stage of stagesFor(services)) {
      const engines = stage.includes('job-trigger') ? ((await dbt) ?? {}) : {}
      await supervisor.start(stage.map((name) => service(name, name === 'job-trigger' ? engines : {})))
    }
    ready = true
    save()
    if (services.includes('ingest-gateway')) connecting = startConnect()
    if (options.archives ?? true) {
      training = infrastructure.trainArchives(wanted).catch((error: unknown) => {
        tell('stack', `no start-up archive was made: ${describeError(error)}`)
      })
    }
  } catch (error) {
    background.abort()
    await supervisor.stop()
    await done
    throw isMeshError(error) ? error : new MeshError('MESH_INTERNAL', 'starting the stack', { cause: error })
  } finally {
    options.signal?.removeEventListener('abort', onAbort)
  }

  function startConnect(): Promise<void> {
    return startConnectOnDemand({
      codeDir: options.codeDir,
      env,
      layout,
      port: portOf(ports, 'kafka-connect'),
      kafkaBrokers: addresses.kafkaBrokers,
      gatewayUrl: addresses.services['ingest-gateway'] ?? '',
      archives: options.archives ?? true,
      supervisor,
      signal: background.signal,
      tell,
    }).catch((error: unknown) => tell('kafka-connect', describeError(error)))
  }

  function extraChild(extra: ExtraServer): SupervisedChild {
    const port = portOf(ports, extra.name)
    return { spec: extra.spec({ port, layout, env }), port, restarts: true }
  }

  function service(
    name: string,
    own: Environment,
  ): { spec: ReturnType<typeof serviceSpec>; port: number; restarts: boolean } {
    const port = portOf(ports, name)
    const scratch = join(layout.services, name)
    const spec = serviceSpec({
      name,
      folder: options.servicesDir ?? join(options.codeDir, 'services'),
      port,
      env: serviceEnvironment({ env, addresses, port, scratch, own }),
      scratch,
      logFile: join(layout.logs, `${name}.log`),
      pidFile: pidFile(layout, name),
    })
    return { spec, port, restarts: true }
  }

  return {
    addresses,
    ports,
    processes: () => supervisor.processes(),
    kill: (name, signal) => supervisor.kill(name, signal),
    restart: (name, signal) => supervisor.restart(name, signal),
    stopService: (name) => supervisor.halt(name),
    startService: (name) => supervisor.resume(name),
    done,
    async stop() {
      await supervisor.stop()
      await done
    },
    onExit(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

/** What job-trigger is told of the project and of dbt. Without Python there is no gold, and everything else runs. */
async function findDbt(
  options: StackOptions,
  layout: StateLayout,
  tell: (name: string, text: string) => void,
  signal: AbortSignal,
): Promise<Environment> {
  const projectDir = options.projectDir ?? layout.root
  if (!(await usesDbt(projectDir))) return { MESH_PROJECT_DIR: projectDir }
  try {
    const folder = join(options.codeDir, 'transforms', 'dbt')
    const python = await installDbt({
      folder,
      cache: layout.cache,
      env: options.env,
      signal,
      onProgress: (text) => tell('dbt', text),
    })
    return { MESH_PROJECT_DIR: projectDir, MESH_DBT_PYTHON: python }
  } catch (error) {
    if (!isMeshError(error) || signal.aborted) throw error
    tell('dbt', `is not there, and gold with it: ${error.message}`)
    return { MESH_PROJECT_DIR: projectDir, MESH_DBT_MISSING: error.message }
  }
}

async function choosePorts(
  options: StackOptions,
  wanted: readonly InfrastructureName[],
  others: readonly string[],
): Promise<PortMap> {
  const names = [
    ...wanted.flatMap((name) => [name, name === 'kafka' ? 'kafka-controller' : 'registry-management']),
    ...others,
  ]
  // Kafka Connect starts later, if at all: its port is looked at then.
  if (options.ports === 'free') return findFreePorts([...new Set(['kafka', 'registry', 'kafka-connect', ...names])])
  const fixed: PortMap = { ...DEFAULT_PORTS, ...options.portOverrides }
  await requireFreePorts(Object.fromEntries(names.map((name) => [name, portOf(fixed, name)])))
  return fixed
}
