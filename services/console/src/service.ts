import type { CommitEvent } from '@mesh/shared/core/books'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import type { RunsRecord } from '@mesh/shared/core/runs'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { Readiness } from '@mesh/shared/runtime/http-server'
import type { Service } from '@mesh/shared/runtime/service'
import { readBroker } from './adapters/broker-reader.ts'
import type { EventStream } from './adapters/event-stream.ts'
import type { TopicTable } from './adapters/topic-table.ts'
import { brokerQuestions } from './core/broker-questions.ts'
import { createRates } from './core/rates.ts'
import { buildSnapshot } from './core/snapshot.ts'
import type { ServiceHealth, Snapshot } from './core/snapshot-types.ts'
import type { ConsoleTelemetry } from './telemetry.ts'

export type ConsoleDeps = {
  readonly kafka: Pick<KafkaPort, 'admin'>
  readonly versions: TopicTable<StreamVersions>
  readonly commits: TopicTable<CommitEvent>
  readonly replays: TopicTable<ReplayJob>
  readonly runs: TopicTable<RunsRecord>
  readonly probe: () => Promise<readonly ServiceHealth[]>
  /** Pages open now; told of their first by `pageOpened`. */
  readonly pages: EventStream
  readonly refreshMs: number
  /** Monotonic, ms. */
  readonly now: () => number
  readonly wallClock: () => string
  readonly telemetry: ConsoleTelemetry
}

export type Console = Service & {
  /** At most `refreshMs` old; callers at the same time share one reading. */
  snapshot(): Promise<Snapshot>
  /** Starts the refreshing, which lasts while a page is open. */
  pageOpened(): void
  readiness(): Readiness
}

const RATE_WINDOW_MS = 10_000

/** Reads the mesh while somebody looks, and only then. It writes nothing anywhere. */
export function createConsole(deps: ConsoleDeps): Console {
  const tables = [deps.versions, deps.commits, deps.replays, deps.runs]
  const rates = createRates(RATE_WINDOW_MS)
  let latest: { readonly atMs: number; readonly snapshot: Promise<Snapshot> } | null = null
  let timer: NodeJS.Timeout | undefined
  let refreshing = false
  let stopped = false

  function snapshot(): Promise<Snapshot> {
    if (latest === null || deps.now() - latest.atMs >= deps.refreshMs) latest = { atMs: deps.now(), snapshot: read() }
    return latest.snapshot
  }

  async function read(): Promise<Snapshot> {
    const startedAt = deps.now()
    const versions = deps.versions.current()
    const [broker, services] = await Promise.all([
      readBroker(deps.kafka.admin, brokerQuestions(versions.values())),
      deps.probe(),
    ])
    const ends = new Map<string, number>()
    for (const [topic, partitions] of broker.offsets) {
      ends.set(
        topic,
        partitions.reduce((sum, { highWatermark }) => sum + highWatermark, 0),
      )
    }
    const built = buildSnapshot({
      at: deps.wallClock(),
      versions,
      commits: deps.commits.current(),
      replays: deps.replays.current(),
      runs: deps.runs.current(),
      broker,
      rates: rates.observe(deps.now(), ends),
      services,
      problems: tables.map((table) => table.problem()).filter((problem) => problem !== null),
    })
    deps.telemetry.read(deps.now() - startedAt, built)
    return built
  }

  async function refresh(): Promise<void> {
    try {
      const next = await snapshot()
      deps.pages.send(next)
    } catch (error) {
      deps.telemetry.failed(error)
    }
    if (deps.pages.count() > 0 && !stopped) timer = setTimeout(() => void refresh(), deps.refreshMs)
    else refreshing = false
  }

  function pageOpened(): void {
    if (refreshing || stopped) return
    refreshing = true
    void refresh()
  }

  return {
    async start() {
      await Promise.all(tables.map((table) => table.start()))
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
      deps.pages.close()
      await Promise.all(tables.map((table) => table.stop()))
    },
    snapshot,
    pageOpened,
    readiness() {
      const problems = tables.map((table) => table.problem()).filter((problem) => problem !== null)
      return { ready: tables.every((table) => table.caughtUp()), detail: { problems, pages: deps.pages.count() } }
    },
  }
}
