import type { StreamVersions } from '../core/versions.ts'
import type { KafkaPort } from '../kafka/port.ts'
import { followVersions, type VersionsView } from '../kafka/versions.ts'
import { errorFields, type Logger } from './logger.ts'
import type { Service } from './service.ts'

/** One runner of a service: a consumer group over one stream's layer and version. */
export type HostedTask = {
  /** Identity: a task whose key is gone is stopped, a new key is started. Put into it whatever a running task cannot change. */
  readonly key: string
  readonly start: () => Promise<Service>
}

export type StreamHostOptions = {
  readonly kafka: KafkaPort
  readonly logger: Logger
  /** The tasks that a stream's versions ask for. `all` is every stream, for tasks that depend on neighbours (joins). */
  readonly tasks: (state: StreamVersions, all: ReadonlyMap<string, StreamVersions>) => readonly HostedTask[]
  /** Called before tasks are reconciled, for projections of `mesh.versions` (views, pointers). */
  readonly onVersions?: (all: ReadonlyMap<string, StreamVersions>) => Promise<void>
  readonly onFatal: (error: unknown) => void
  readonly retryMs?: number
}

export type StreamHost = Service & {
  /** Keys of running tasks, and of those that cannot start with the reason. */
  state(): {
    readonly running: readonly string[]
    readonly failing: Readonly<Record<string, string>>
    readonly caughtUp: boolean
  }
}

/**
 * Follows `mesh.versions` without a restart: starts a runner for every task it asks for and stops those it no longer names.
 * A task that cannot start is tried again with back-off while its neighbours run.
 */
export function createStreamHost(options: StreamHostOptions): StreamHost {
  const running = new Map<string, Service>()
  const failing = new Map<string, string>()
  let view: VersionsView | null = null
  let stopped = false
  let caughtUp = false
  let dirty = false
  let working: Promise<void> = Promise.resolve()
  let retry: NodeJS.Timeout | undefined

  function reconcileSoon(): void {
    if (dirty || stopped) return
    dirty = true
    working = working.then(reconcile).catch(options.onFatal)
  }

  async function reconcile(): Promise<void> {
    dirty = false
    if (stopped || view === null) return
    const all = view.current()
    await options.onVersions?.(all)
    const desired = new Map<string, HostedTask>()
    for (const state of all.values()) for (const task of options.tasks(state, all)) desired.set(task.key, task)
    for (const key of [...running.keys()].filter((key) => !desired.has(key))) {
      // It runs until it has ended: until then it may still write.
      await running
        .get(key)!
        .stop()
        .finally(() => running.delete(key))
    }
    // What failed before is failing until it has started: it is not well while it is tried again.
    for (const key of failing.keys()) if (!desired.has(key)) failing.delete(key)
    await Promise.all([...desired.values()].filter((task) => !running.has(task.key)).map(startTask))
    if (failing.size > 0 && !stopped) {
      clearTimeout(retry)
      retry = setTimeout(reconcileSoon, options.retryMs ?? 2000)
    }
  }

  async function startTask(task: HostedTask): Promise<void> {
    try {
      running.set(task.key, await task.start())
      failing.delete(task.key)
    } catch (error) {
      failing.set(task.key, (errorFields(error)['error'] as string) ?? '')
      options.logger.error({ ...errorFields(error), task: task.key }, 'task cannot start; it is tried again')
    }
  }

  return {
    state: () => ({ running: [...running.keys()], failing: Object.fromEntries(failing), caughtUp }),
    async start() {
      view = await followVersions(options.kafka, reconcileSoon, options.onFatal)
      reconcileSoon()
      await working
      caughtUp = true
    },
    async stop() {
      stopped = true
      clearTimeout(retry)
      await working
      await view?.stop()
      await Promise.all([...running.values()].map((service) => service.stop()))
      running.clear()
    },
  }
}
