import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import type { ConnectRest } from './adapters/sources/connect-rest.ts'
import { mongoTaskFailure } from './core/mongo/failure.ts'
import {
  afterRestart,
  afterRunning,
  type ConnectorStatus,
  causeOf,
  type Failures,
  isFailed,
  isRunning,
  nextAction,
} from './core/sources/connector-actions.ts'
import {
  type ConnectorConfig,
  connectorName,
  mongodbConfig,
  postgresConfig,
  rawConnectorConfig,
} from './core/sources/connector-config.ts'
import { isByConnect, streamsOf, tablesOf } from './core/sources/desired-sources.ts'
import type { PreparedDatabase, SourceDatabase } from './core/sources/ports.ts'
import type { DesiredSource, SourceReport, SourceState, Wish } from './core/sources/source-types.ts'
import { problemOf } from './core/sources/source-types.ts'

export type SourceReconcilerOptions = {
  /** Null when this mesh has no Kafka Connect. */
  readonly connect: ConnectRest | null
  readonly database: SourceDatabase
  readonly onAction: (source: string, action: string) => void
  readonly now: () => number
}

/** What the reconciler remembers of a source between rounds; lost with the leader, and found again. */
type Memory = {
  failures: Failures
  restarts: number
  retryAt: number
  refusals: number
  runningSince: number | null
  /** What was asked for; another definition is tried at once. */
  asked: string
  /** The restart that has been seen to; undefined before the first round, whose restarts somebody else has seen to. */
  restartedAt: string | null | undefined
}

const FIRST_RETRY_MS = 5000
const LONGEST_RETRY_MS = 60_000
/** A task that has just been given a new table list may still run with the old one. */
const SETTLED_MS = 15_000

/**
 * Brings connectors to what the live bundles ask for, one step of each source in a round. A source in trouble is told and asked
 * again with growing pauses, and holds up no other.
 */
export function createSourceReconciler(options: SourceReconcilerOptions): {
  round(desired: readonly DesiredSource[], wishOf: (source: string) => Wish): Promise<SourceReport[]>
} {
  const { connect, database, now } = options
  const memories = new Map<string, Memory>()
  const reports = new Map<string, SourceReport>()

  async function round(desired: readonly DesiredSource[], wishOf: (source: string) => Wish): Promise<SourceReport[]> {
    const wanted = desired.filter(({ source }) => isByConnect(source))
    const told = await Promise.all(wanted.map((one) => reconcileSafely(one, () => wishOf(one.source.name))))
    return [...told, ...(await orphans(wanted))]
  }

  async function reconcileSafely(desired: DesiredSource, wishOf: () => Wish): Promise<SourceReport> {
    const { name } = desired.source
    const memory = memoryOf(name)
    const before = reports.get(name)
    const asked = JSON.stringify([desired.source, desired.uses, wishOf().restartedAt])
    if (asked !== memory.asked) Object.assign(memory, { asked, retryAt: 0, refusals: 0 })
    if (before && before.state !== 'deleted' && now() < memory.retryAt) return before
    let report: SourceReport
    try {
      report = await reconcile(desired, wishOf, memory)
      memory.refusals = 0
    } catch (error) {
      const known = isMeshError(error) ? error : new MeshError('MESH_INTERNAL', String(error), { cause: error })
      memory.retryAt = now() + Math.min(FIRST_RETRY_MS * 2 ** memory.refusals++, LONGEST_RETRY_MS)
      const state = known.status === 503 ? 'waiting' : 'failed'
      report = { ...reportOf(desired, state, memory), problems: [problemOf(known)], lagBytes: before?.lagBytes ?? null }
    }
    reports.set(name, report)
    return report
  }

  async function reconcile(desired: DesiredSource, wishOf: () => Wish, memory: Memory): Promise<SourceReport> {
    const { source } = desired
    if (wishOf().intent === 'deleted') return reportOf(desired, 'deleted', memory)
    if (desired.problems.length > 0) {
      return { ...reportOf(desired, 'failed', memory), problems: desired.problems.map(problemOf) }
    }
    const prepared = source.kind === 'postgres' ? await database.prepare(source, tablesOf(desired.uses)) : null
    const base = { ...reportOf(desired, 'starting', memory), ...preparedPart(prepared) }
    if (prepared && prepared.tables.length === 0) return { ...base, state: 'failed' }
    if (connect === null) throw new MeshError('MESH_CONNECT_UNAVAILABLE', 'this mesh has no Kafka Connect')
    const name = connectorName(source.name)
    const actual = await connect.status(name)
    const lost = prepared && actual ? await lostSlot(desired, prepared, actual) : null
    if (lost) return { ...base, state: 'failed', problems: [...base.problems, problemOf(lost)] }
    // Younger than the status: whoever halts a connector has said so before, and a wish from before that would start it again.
    const wish = wishOf()
    if (wish.intent === 'deleted') return reportOf(desired, 'deleted', memory)
    const config = configOf(desired, prepared)
    await act(desired, { config, wish }, actual, memory)
    if (actual === null) return base
    await followUp(desired, prepared, actual, memory)
    const failed = isFailed(actual)
    const trace = actual.tasks.find((task) => task.state === 'FAILED')?.trace ?? null
    const failure =
      (source.kind === 'mongodb' ? mongoTaskFailure(trace ?? '', source.name) : null) ??
      new MeshError('MESH_SOURCE_TASK_FAILED', `source ${source.name}: ${causeOf(trace)}`)
    return {
      ...base,
      state: stateOf(actual),
      problems: failed ? [...base.problems, problemOf(failure)] : base.problems,
      connector: { name, state: actual.state, tasks: actual.tasks.map((task) => task.state) },
      restarts: memory.restarts,
    }
  }

  /** A connector that has come somewhere and whose slot is gone would go on with a hole: it is stopped, and nobody starts it again. */
  async function lostSlot(
    { source }: DesiredSource,
    { slot }: PreparedDatabase,
    actual: ConnectorStatus,
  ): Promise<MeshError | null> {
    const name = connectorName(source.name)
    if (slot && !slot.lost) return null
    if (!slot && (await connect!.offset(name)) === null) return null
    if (actual.state !== 'STOPPED') {
      options.onAction(source.name, 'stop')
      await connect!.stop(name)
    }
    const how = slot ? 'was invalidated by the server' : 'is gone'
    return new MeshError('MESH_SOURCE_SLOT_LOST', `source ${source.name}: its replication slot ${how}`)
  }

  async function act(
    { source }: DesiredSource,
    { config, wish }: { readonly config: ConnectorConfig; readonly wish: Wish },
    actual: ConnectorStatus | null,
    memory: Memory,
  ): Promise<void> {
    const name = connectorName(source.name)
    if (memory.restartedAt !== undefined && memory.restartedAt !== wish.restartedAt && actual !== null) {
      options.onAction(source.name, 'restart')
      await connect!.restart(name, 'all')
      memory.failures = { count: 0, since: 0 }
    }
    memory.restartedAt = wish.restartedAt
    const action = nextAction({ config, intent: wish.intent }, actual, memory.failures, now())
    if (action.kind === 'none') return
    options.onAction(source.name, action.kind)
    switch (action.kind) {
      case 'put':
        if (actual === null && source.kind === 'postgres') {
          await database.note(source, config['table.include.list'] === undefined ? [] : tablesIn(config))
        }
        memory.runningSince = null
        return connect!.put(name, action.config)
      case 'restart':
        memory.failures = afterRestart(memory.failures, now())
        memory.restarts += 1
        return connect!.restart(name, 'failed')
      case 'pause':
        return connect!.pause(name)
      case 'resume':
        return connect!.resume(name)
    }
  }

  /** What is done with a connector that runs: failures are forgotten in time, and tables that came later are read. */
  async function followUp(
    { source }: DesiredSource,
    prepared: PreparedDatabase | null,
    actual: ConnectorStatus,
    memory: Memory,
  ): Promise<void> {
    if (!isRunning(actual)) {
      memory.runningSince = null
      return
    }
    memory.runningSince ??= now()
    memory.failures = afterRunning(memory.failures, now())
    if (!prepared || source.kind !== 'postgres' || source.snapshot !== 'initial') return
    if (now() - memory.runningSince >= SETTLED_MS) await database.snapshotNew(source, prepared.tables)
  }

  /** Connectors of ours that no applied stream asks for: paused and told, deleted only by consent. */
  async function orphans(wanted: readonly DesiredSource[]): Promise<SourceReport[]> {
    if (connect === null) return []
    const known = new Set(wanted.map(({ source }) => connectorName(source.name)))
    const names = await connect.names().catch(() => [])
    const found: SourceReport[] = []
    for (const name of names.filter((one) => one.startsWith('mesh-') && !known.has(one))) {
      const actual = await connect.status(name).catch(() => null)
      if (actual === null) continue
      if (actual.state !== 'PAUSED' && actual.state !== 'STOPPED') await connect.pause(name).catch(() => undefined)
      const source = name.slice('mesh-'.length)
      found.push({
        ...EMPTY,
        source,
        kind: kindOf(actual.config),
        state: 'orphaned',
        connector: { name, state: actual.state, tasks: actual.tasks.map((task) => task.state) },
        at: new Date(now()).toISOString(),
      })
    }
    return found
  }

  function memoryOf(source: string): Memory {
    const known = memories.get(source)
    if (known) return known
    const fresh: Memory = {
      failures: { count: 0, since: 0 },
      restarts: 0,
      retryAt: 0,
      refusals: 0,
      runningSince: null,
      asked: '',
      restartedAt: undefined,
    }
    memories.set(source, fresh)
    return fresh
  }

  function reportOf({ source, uses }: DesiredSource, state: SourceState, memory: Memory): SourceReport {
    return {
      ...EMPTY,
      source: source.name,
      kind: source.kind,
      state,
      streams: streamsOf(uses),
      restarts: memory.restarts,
      at: new Date(now()).toISOString(),
    }
  }

  return { round }
}

const EMPTY = { streams: [], problems: [], connector: null, tables: [], lagBytes: null, restarts: 0 } as const

function preparedPart(
  prepared: PreparedDatabase | null,
): Pick<SourceReport, 'problems' | 'tables' | 'lagBytes'> | Record<string, never> {
  if (!prepared) return {}
  const { problems, reports, slot } = prepared
  return { problems: problems.map(problemOf), tables: reports, lagBytes: slot?.lagBytes ?? null }
}

function configOf({ source, uses }: DesiredSource, prepared: PreparedDatabase | null): ConnectorConfig {
  switch (source.kind) {
    case 'postgres': {
      const able = uses.filter(({ ingest }) => ingest.kind === 'cdc' && prepared?.tables.includes(ingest.table))
      return postgresConfig(source, able)
    }
    case 'mongodb':
      return mongodbConfig(source, uses)
    case 'connect':
      return rawConnectorConfig(source, uses)
    case 'redis':
    case 'http':
    case 'kafka':
      throw new MeshError('MESH_INTERNAL', `a source of kind ${source.kind} has no connector`)
  }
}

const tablesIn = (config: ConnectorConfig): string[] =>
  (config['table.include.list'] ?? '').split(',').map((pattern) => pattern.replaceAll(/\\(.)/g, '$1'))

function stateOf(actual: ConnectorStatus): SourceState {
  if (isFailed(actual)) return 'failed'
  if (isRunning(actual)) return 'running'
  return actual.state === 'PAUSED' || actual.state === 'STOPPED' ? 'paused' : 'starting'
}

function kindOf(config: ConnectorConfig): SourceReport['kind'] {
  const connector = config['connector.class'] ?? ''
  if (connector.includes('postgresql')) return 'postgres'
  return connector.includes('mongodb') ? 'mongodb' : 'connect'
}
