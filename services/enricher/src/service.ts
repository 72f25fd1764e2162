import { createHash } from 'node:crypto'
import { describeError, MeshError } from '@mesh/shared/core/errors'
import { type JoinScope, type JoinSide, tableName, tableScope } from '@mesh/shared/core/join-scope'
import { liveVersion, type StreamVersion, type StreamVersions } from '@mesh/shared/core/versions'
import type { Readiness } from '@mesh/shared/runtime/http-server'
import type { Logger } from '@mesh/shared/runtime/logger'
import type { Service } from '@mesh/shared/runtime/service'
import { createStreamHost, type HostedTask } from '@mesh/shared/runtime/stream-host'
import type { RefineCode } from './core/decide.ts'
import type { Stall } from './core/stall.ts'
import { createRunner, type RunnerDeps, type RunnerTask } from './runner.ts'

export type EnricherDeps = Omit<RunnerDeps, 'onStall'> & {
  readonly logger: Logger
  /** Lets go of what is kept on disk for versions that are no longer run. */
  readonly retain: (versions: readonly { readonly stream: string; readonly version: number }[]) => void
}

/** Refines every live and candidate version of every stream, each in a consumer group of its own. */
export function createEnricher(deps: EnricherDeps): Service & { readiness(): Readiness } {
  const known = new Map<string, RefineCode>()
  const unloadable = new Map<string, string>()
  const stalled = new Map<string, Stall>()
  const runnerDeps: RunnerDeps = { ...deps, onStall: noteStall }
  const host = createStreamHost({
    kafka: deps.kafka,
    logger: deps.logger,
    tasks: (state, all) => running(state).map((version) => taskOf(state, version, all)),
    async onVersions(all) {
      await loadCodes(all)
      deps.retain(
        [...all.values()].flatMap((state) => running(state).map(({ version }) => ({ stream: state.stream, version }))),
      )
    },
    onFatal: deps.onFatal,
  })

  /** Which streams a version joins stands in its bundles, so they are read before tasks are named. */
  async function loadCodes(all: ReadonlyMap<string, StreamVersions>): Promise<void> {
    unloadable.clear()
    for (const state of all.values()) {
      for (const binding of running(state).flatMap((version) => version.bundles)) {
        try {
          known.set(binding.hash, await deps.codes.load(binding))
        } catch (error) {
          unloadable.set(binding.hash, describeError(error))
        }
      }
    }
  }

  function taskOf(state: StreamVersions, version: StreamVersion, all: ReadonlyMap<string, StreamVersions>): HostedTask {
    const failed = version.bundles.find((bundle) => unloadable.has(bundle.hash))
    if (failed) {
      return failingTask(state, version, `bundle ${failed.hash} cannot be loaded: ${unloadable.get(failed.hash)}`)
    }
    const joined = new Map<string, number>()
    for (const { hash } of version.bundles) {
      for (const { stream } of known.get(hash)!.contract.refine.joins) {
        const live = all.get(stream)?.live
        if (live === undefined) return failingTask(state, version, `the joined stream ${stream} is not applied`)
        joined.set(stream, live)
      }
    }
    const scopes = scopesOf(state, version, all)
    return {
      key: `${nameOf(state, version)}/${fingerprint(state, version, { joined, scopes })}`,
      async start() {
        const runner = createRunner(runnerDeps, { state, version, joined, scopes })
        await runner.start()
        return runner
      },
    }
  }

  /** Of every bundle that the version runs, and of every one that the joined stream's live version does. */
  function scopesOf(
    state: StreamVersions,
    version: StreamVersion,
    all: ReadonlyMap<string, StreamVersions>,
  ): Map<string, JoinScope> {
    const sideOf = (of: StreamVersions, { bundles }: StreamVersion): JoinSide => {
      const contracts = bundles.flatMap(({ hash }) => known.get(hash)?.contract ?? [])
      return { partitions: of.partitions, contracts: contracts.length === bundles.length ? contracts : [] }
    }
    const own = sideOf(state, version)
    const rules = own.contracts.flatMap(({ refine }) => refine.joins)
    const tables = Map.groupBy(rules, tableName)
    return new Map(
      [...tables].map(([name, ofTable]) => {
        const joined = all.get(ofTable[0]!.stream)!
        return [name, tableScope(ofTable, own, sideOf(joined, liveVersion(joined)))]
      }),
    )
  }

  function noteStall(place: string, stall: Stall | null): void {
    if (stall === null) stalled.delete(place)
    else stalled.set(place, stall)
  }

  function readiness(): Readiness {
    const { running: runners, failing, caughtUp } = host.state()
    // Room comes by itself; what the others wait for may need a person.
    const standing = [...stalled.values()].some(({ kind }) => kind !== 'parked-full')
    return {
      ready: caughtUp && Object.keys(failing).length === 0 && !standing,
      detail: { running: runners, failing, stalled: Object.fromEntries(stalled), tables: deps.tables.positions() },
    }
  }

  return { start: () => host.start(), stop: () => host.stop(), readiness }
}

const running = (state: StreamVersions): StreamVersion[] => state.versions.filter((v) => v.status !== 'retired')
const nameOf = (state: StreamVersions, version: StreamVersion): string => `${state.stream}/v${version.version}`

/** A task that says why it cannot run; the host asks again, and by then it may have become another task. */
function failingTask(state: StreamVersions, version: StreamVersion, reason: string): HostedTask {
  const place = nameOf(state, version)
  return {
    key: `${place}/waiting`,
    start: () => Promise.reject(new MeshError('MESH_STREAM_UNKNOWN', reason, { place })),
  }
}

/** Everything that a running runner cannot take in: a change of it starts the runner again from its commit. */
function fingerprint(
  state: StreamVersions,
  version: StreamVersion,
  { joined, scopes }: Pick<RunnerTask, 'joined' | 'scopes'>,
): string {
  // A live version reads no replay topic any more, so becoming live matters only to a version that has one.
  const status = version.replay === null ? null : version.status
  const parts = [
    state.rawTopicId,
    state.partitions,
    status,
    version.bundles,
    version.start,
    version.replay,
    [...joined],
    [...scopes].map(([table, { kind }]) => [table, kind]),
  ]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 12)
}
