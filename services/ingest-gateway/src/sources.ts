import { describeError } from '@mesh/shared/core/errors'
import type { Service } from '@mesh/shared/runtime/service'
import type { IngestStream, StreamDirectory } from './core/ports.ts'
import { type PulledSource, pulledSources } from './core/source-id.ts'
import { createSourceStatus, type SourceReport, type SourceStatus, type StatusHooks } from './core/source-status.ts'
import type { Wish } from './core/sources/source-types.ts'

export type SourceStart = {
  readonly stream: IngestStream
  readonly pulled: PulledSource
  readonly report: SourceReport
  readonly led: (leads: boolean) => void
}

export type SourcesOptions = {
  readonly directory: Pick<StreamDirectory, 'streams'>
  /** The reader of one ingest of one stream; it runs until it is stopped and tells what it does. */
  readonly createReader: (start: SourceStart) => Service
  /** What an operator wants of a source; null while it is not known, and then nothing is read. */
  readonly wishOf: (source: string) => Wish | null
  readonly hooks: (label: string, stream: string) => StatusHooks
  readonly now: () => number
  readonly onFatal: (error: unknown) => void
}

export type Sources = Service & {
  /** Call when the directory or a wish has changed. */
  readonly refresh: () => void
  /** Runs while nothing of the source is read in this process; then what is applied is read on. */
  aside<T>(source: string, work: () => Promise<T>): Promise<T>
  /** By label. */
  readonly status: () => Readonly<Record<string, SourceStatus>>
}

type Running = {
  readonly label: string
  readonly source: string
  /** Null where nothing is to be read. */
  readonly reader: Service | null
  readonly status: () => SourceStatus
}

/**
 * Runs a reader for every ingest that the published contracts pull and nobody has paused; a changed bundle is another reader, and so is a
 * restart that was asked for.
 */
export function createSources(options: SourcesOptions): Sources {
  const running = new Map<string, Running>()
  let working: Promise<void> = Promise.resolve()
  let due = false
  let stopped = false

  async function reconcile(): Promise<void> {
    due = false
    if (stopped) return
    const wanted = new Map<string, { stream: IngestStream; pulled: PulledSource; wish: Wish | null }>()
    for (const stream of options.directory.streams()) {
      for (const pulled of pulledSources(stream.contract, stream.sources)) {
        const wish = options.wishOf(pulled.ingest.source)
        wanted.set(`${pulled.id} ${stream.bundleHash} ${stream.partitions} ${JSON.stringify(wish)}`, {
          stream,
          pulled,
          wish,
        })
      }
    }
    const former = new Map<string, SourceStatus>()
    for (const [key, { label, reader, status }] of running) {
      if (wanted.has(key)) continue
      running.delete(key)
      former.set(label, status())
      await reader?.stop()
    }
    for (const [key, { stream, pulled, wish }] of wanted) {
      if (running.has(key)) continue
      const { label, ingest } = pulled
      if (wish?.intent === 'running') await read(key, stream, pulled)
      else {
        const status = restingStatus(wish === null ? 'waiting' : wish.intent, {
          stream,
          pulled,
          former: former.get(label),
        })
        running.set(key, { label, source: ingest.source, reader: null, status: () => status })
      }
    }
  }

  async function read(key: string, stream: IngestStream, pulled: PulledSource): Promise<void> {
    const { label, ingest } = pulled
    const name = stream.contract.name
    const keeper = createSourceStatus({ kind: ingest.kind, stream: name }, options.now, options.hooks(label, name))
    const reader = options.createReader({ stream, pulled, report: keeper.report, led: keeper.led })
    running.set(key, { label, source: ingest.source, reader, status: keeper.status })
    await reader.start()
  }

  /** What is paused stays where it is. */
  function restingStatus(
    state: 'waiting' | 'paused' | 'deleted',
    { stream, pulled, former }: { stream: IngestStream; pulled: PulledSource; former: SourceStatus | undefined },
  ): SourceStatus {
    const kept = state === 'deleted' ? undefined : former
    return {
      kind: pulled.ingest.kind,
      stream: stream.contract.name,
      state,
      leads: false,
      since: new Date(options.now()).toISOString(),
      lastOk: kept?.lastOk ?? null,
      cursor: kept?.cursor ?? null,
    }
  }

  function refresh(): void {
    if (due || stopped) return
    due = true
    working = working.then(reconcile).catch(options.onFatal)
  }

  async function halt(source: string): Promise<void> {
    for (const [key, one] of running) {
      if (one.source !== source) continue
      running.delete(key)
      await one.reader?.stop()
    }
  }

  return {
    refresh,
    async aside(source, work) {
      const done = working.then(() => halt(source)).then(work)
      working = done.then(
        () => undefined,
        () => undefined,
      )
      return done.finally(refresh)
    },
    status: () => Object.fromEntries([...running.values()].map(({ label, status }) => [label, status()])),
    async start() {},
    async stop() {
      stopped = true
      await working
      const ended = await Promise.allSettled([...running.values()].map(async ({ reader }) => reader?.stop()))
      running.clear()
      const failed = ended.find((end) => end.status === 'rejected')
      if (failed) throw new Error(`stopping a source: ${describeError(failed.reason)}`)
    },
  }
}
