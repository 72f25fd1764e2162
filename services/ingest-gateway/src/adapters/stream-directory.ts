import { describeError } from '@mesh/shared/core/errors'
import { rawTopic } from '@mesh/shared/core/topics'
import { liveVersion, newestBundle, type StreamVersions } from '@mesh/shared/core/versions'
import type { Bundle } from '@mesh/shared/schema/port'
import { compileEventCheck } from '../core/event-check.ts'
import type { IngestStream, StreamDirectory, StreamLookup } from '../core/ports.ts'

export type StreamDirectoryOptions = {
  readonly getBundle: (hash: string) => Promise<Bundle>
  readonly onLoaded: (stream: string, bundle: string) => void
  readonly onFailing: (stream: string, error: unknown) => void
  readonly retryMs: number
}

export type LoadedDirectory = StreamDirectory & {
  /** Takes a new state of `mesh.versions`; resolves when its bundles are loaded or have failed (those are tried again). */
  readonly update: (versions: ReadonlyMap<string, StreamVersions>) => Promise<void>
  readonly state: () => { readonly caughtUp: boolean; readonly failing: Readonly<Record<string, string>> }
  readonly stop: () => Promise<void>
}

/**
 * The published streams with the newest bundle of their live version. A stream whose new bundle cannot be loaded is served with
 * the one before, as long as there is one.
 */
export function createStreamDirectory(options: StreamDirectoryOptions): LoadedDirectory {
  const streams = new Map<string, IngestStream>()
  const failing = new Map<string, string>()
  let wanted: ReadonlyMap<string, StreamVersions> | null = null
  let caughtUp = false
  let stopped = false
  let working: Promise<void> = Promise.resolve()
  let retry: NodeJS.Timeout | undefined

  async function refresh(): Promise<void> {
    if (wanted === null || stopped) return
    const versions = wanted
    for (const name of streams.keys()) if (!versions.has(name)) streams.delete(name)
    failing.clear()
    await Promise.all([...versions.values()].map(load))
    caughtUp = true
    clearTimeout(retry)
    if (failing.size > 0 && !stopped) retry = setTimeout(() => void refreshNext(), options.retryMs)
  }

  async function load(state: StreamVersions): Promise<void> {
    try {
      const { hash } = newestBundle(liveVersion(state))
      const known = streams.get(state.stream)
      if (known?.bundleHash === hash && known.partitions === state.partitions) return
      streams.set(state.stream, serve(state, await options.getBundle(hash)))
      options.onLoaded(state.stream, hash)
    } catch (error) {
      failing.set(state.stream, describeError(error))
      options.onFailing(state.stream, error)
    }
  }

  function refreshNext(): Promise<void> {
    working = working.then(refresh)
    return working
  }

  function find(name: string): StreamLookup {
    const stream = streams.get(name)
    if (stream) return { kind: 'found', stream }
    if (!caughtUp) return { kind: 'starting', reason: 'the gateway does not know its streams yet' }
    return failing.has(name) ? { kind: 'starting', reason: `stream ${name} cannot be loaded yet` } : { kind: 'missing' }
  }

  return {
    find,
    streams: () => [...streams.values()].sort((a, b) => (a.contract.name < b.contract.name ? -1 : 1)),
    update(versions) {
      wanted = versions
      return refreshNext()
    },
    state: () => ({ caughtUp, failing: Object.fromEntries(failing) }),
    async stop() {
      stopped = true
      clearTimeout(retry)
      await working
    },
  }
}

function serve(state: StreamVersions, bundle: Bundle): IngestStream {
  const { contract, rawSchema, sources } = bundle
  return {
    contract,
    bundleHash: bundle.hash,
    rawTopic: rawTopic(state.stream),
    partitions: state.partitions,
    rawSchema,
    sources,
    check: contract.validateAtIngest && rawSchema !== null ? compileEventCheck(rawSchema) : null,
  }
}
