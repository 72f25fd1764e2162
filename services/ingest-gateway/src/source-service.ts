import { describeError, MeshError } from '@mesh/shared/core/errors'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import type { Service } from '@mesh/shared/runtime/service'
import { joinSourcesTopic, type SourcesTopic } from './adapters/sources/sources-topic.ts'
import type { StreamDirectory } from './core/ports.ts'
import { desiredSources, isByConnect, isCaptured, streamsOf } from './core/sources/desired-sources.ts'
import type { AuditReport, DesiredSource, Intent, SourceReport, Wish } from './core/sources/source-types.ts'
import { problemOf } from './core/sources/source-types.ts'

export type SourceServiceOptions = {
  readonly kafka: KafkaPort
  readonly producer: () => Producer | null
  readonly directory: StreamDirectory
  readonly reconciler: {
    round(desired: readonly DesiredSource[], wishOf: (source: string) => Wish): Promise<SourceReport[]>
  }
  readonly intervalMs: number
  readonly onTrouble: (error: unknown) => void
  readonly onReport: (report: SourceReport) => void
  /** What operators want is known, or has changed: see `wishOf`. */
  readonly onWishes: () => void
  readonly now: () => number
}

export type SourceView = {
  /** An applied stream asks for a source that Kafka Connect reads. */
  readonly connectWanted: boolean
  /** Whether this gateway leads; null while it has not joined. */
  readonly leader: boolean | null
  readonly sources: readonly SourceReport[]
  /** The last audit of each stream. */
  readonly audits: readonly AuditReport[]
}

export type SourceService = Service & {
  readonly view: () => SourceView
  find(name: string): DesiredSource | undefined
  /** What operators want of a source; null before `mesh.sources` has been read. */
  wishOf(name: string): Wish | null
  /** Durable on return. */
  setIntent(name: string, intent: Intent): Promise<void>
  /** @throws MeshError MESH_SOURCE_NOT_RUNNING where the source is paused or deleted */
  restart(name: string): Promise<void>
  /** Drops the report of a source that no applied stream asks for, and what was asked of it. */
  forget(name: string): Promise<void>
  /** Keeps the result of an audit for every gateway to tell. */
  keep(audit: AuditReport): Promise<void>
}

const REJOIN_MS = 2000
/** While there is no producer, or no stream that has a source. */
const LOOK_MS = 300
/** Volatile figures are written this often; what changes otherwise at once. */
const REFRESH_MS = 15_000

/**
 * Keeps sources as the live bundles ask: one gateway at a time leads, by the consumer group of `mesh.sources`, and writes there what
 * every gateway tells.
 */
export function createSourceService(options: SourceServiceOptions): SourceService {
  let topic: SourcesTopic | null = null
  /** Outlives a topic that is lost: what was asked holds until it is known to be otherwise. */
  let wishes: SourcesTopic['wishOf'] | null = null
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let working: Promise<void> = Promise.resolve()
  const desired = (): DesiredSource[] => desiredSources(options.directory.streams())

  async function turn(): Promise<void> {
    let pause = LOOK_MS
    try {
      if (options.producer() === null) return
      // Nobody needs a topic or a group for sources that nobody has.
      if (topic === null && desired().length === 0) return
      topic ??= await join()
      if (topic.isLeader()) await lead(topic)
      pause = options.intervalMs
    } catch (error) {
      pause = topic === null ? REJOIN_MS : options.intervalMs
      options.onTrouble(error)
    } finally {
      if (!stopped) timer = setTimeout(next, pause)
    }
  }

  async function join(): Promise<SourcesTopic> {
    // It may break before it has been joined.
    let joined: SourcesTopic | null = null
    let broken = false
    const joining = await joinSourcesTopic(options.kafka, options.producer, {
      onBroken(error) {
        broken = true
        options.onTrouble(error)
        if (topic === joined) topic = null
        void joined?.stop().catch(() => undefined)
      },
      onWishes(wishOf) {
        wishes = wishOf
        options.onWishes()
      },
    })
    joined = joining
    if (broken) {
      await joining.stop().catch(() => undefined)
      throw new MeshError('MESH_KAFKA_UNAVAILABLE', 'mesh.sources was lost while it was read')
    }
    return joining
  }

  async function lead(to: SourcesTopic): Promise<void> {
    const reports = await options.reconciler.round(desired(), to.wishOf)
    const known = to.reports()
    for (const report of reports) {
      const before = known.get(report.source)
      if (before && isSame(before, report) && Date.parse(report.at) - Date.parse(before.at) < REFRESH_MS) continue
      await to.putReport(report)
      if (!before || before.state !== report.state) options.onReport(report)
    }
    const names = new Set(reports.map(({ source }) => source))
    for (const source of known.keys()) if (!names.has(source)) await to.dropReport(source)
  }

  function next(): void {
    working = turn()
  }

  function view(): SourceView {
    // What the gateway polls and consumes is told by /readyz.
    const wanted = desired().filter(({ source }) => isCaptured(source))
    const told = topic?.reports() ?? new Map<string, SourceReport>()
    const missing = wanted.filter(({ source }) => !told.has(source.name)).map(starting)
    return {
      connectWanted: wanted.some(({ source }) => isByConnect(source) && wishes?.(source.name).intent !== 'deleted'),
      leader: topic?.isLeader() ?? null,
      sources: [...told.values(), ...missing].sort((a, b) => (a.source < b.source ? -1 : 1)),
      audits: topic?.audits() ?? [],
    }
  }

  function starting({ source, uses, problems }: DesiredSource): SourceReport {
    return {
      source: source.name,
      kind: source.kind,
      state: 'starting',
      streams: streamsOf(uses),
      problems: problems.map(problemOf),
      connector: null,
      tables: [],
      lagBytes: null,
      restarts: 0,
      at: new Date(options.now()).toISOString(),
    }
  }

  function joined(): SourcesTopic {
    if (topic) return topic
    throw new MeshError('MESH_GATEWAY_STARTING', 'the gateway has not read mesh.sources yet')
  }

  return {
    view,
    find: (name) => desired().find(({ source }) => source.name === name),
    wishOf: (name) => wishes?.(name) ?? null,
    setIntent: (name, intent) => joined().putWish(name, { ...joined().wishOf(name), intent }),
    async restart(name) {
      const { intent } = joined().wishOf(name)
      if (intent !== 'running') {
        const text = `source ${name} is ${intent}: \`mesh sources resume ${name}\` reads it on`
        throw new MeshError('MESH_SOURCE_NOT_RUNNING', text)
      }
      await joined().putWish(name, { intent, restartedAt: new Date(options.now()).toISOString() })
    },
    keep: (audit) => joined().putAudit(audit),
    async forget(name) {
      await joined().dropReport(name)
      await joined().dropWish(name)
    },
    async start() {
      next()
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
      await working
      await topic?.stop().catch((error: unknown) => options.onTrouble(new Error(describeError(error))))
    },
  }
}

/** Without the figures that change by themselves. */
function isSame(a: SourceReport, b: SourceReport): boolean {
  const part = ({ at: _at, lagBytes: _lag, ...rest }: SourceReport): string => JSON.stringify(rest)
  return part(a) === part(b)
}
