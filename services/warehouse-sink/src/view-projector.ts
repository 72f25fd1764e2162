import type { StreamVersions } from '@mesh/shared/core/versions'
import type { LandingView, Warehouse } from './core/ports.ts'
import type { SinkTelemetry } from './telemetry.ts'

export type ViewProjector = {
  /** Points the views at the live versions. Never throws: what failed is tried again until it holds. */
  project(all: ReadonlyMap<string, StreamVersions>): Promise<void>
  /** Streams whose view is behind, with the reason. */
  behind(): Readonly<Record<string, string>>
  stop(): void
}

export type ViewProjectorOptions = {
  readonly warehouse: Pick<Warehouse, 'project'>
  /** Reads the live version's contract and schema. */
  readonly viewOf: (state: StreamVersions) => Promise<LandingView>
  readonly telemetry: SinkTelemetry
  readonly retryMs: number
}

/** Projection of `mesh.versions` onto views. A cutover is the record in Kafka; the view follows it and carries its epoch. */
export function createViewProjector({ warehouse, viewOf, telemetry, retryMs }: ViewProjectorOptions): ViewProjector {
  let wanted: ReadonlyMap<string, StreamVersions> = new Map()
  const done = new Map<string, StreamVersions>()
  const behind = new Map<string, string>()
  let retry: NodeJS.Timeout | undefined
  let working: Promise<void> = Promise.resolve()
  let stopped = false

  async function projectAll(): Promise<void> {
    for (const [stream, state] of wanted) {
      if (stopped) return
      if (done.get(stream) === state) continue
      try {
        const view = await viewOf(state)
        await warehouse.project(view)
        done.set(stream, state)
        behind.delete(stream)
        telemetry.projected(view)
      } catch (error) {
        behind.set(stream, telemetry.viewBehind(stream, error))
      }
    }
    clearTimeout(retry)
    if (behind.size > 0 && !stopped) retry = setTimeout(() => void projectSoon(), retryMs)
  }

  function projectSoon(): Promise<void> {
    working = working.then(projectAll)
    return working
  }

  return {
    project(all) {
      wanted = all
      for (const stream of behind.keys()) if (!all.has(stream)) behind.delete(stream)
      return projectSoon()
    },
    behind: () => Object.fromEntries(behind),
    stop() {
      stopped = true
      clearTimeout(retry)
    },
  }
}
