import type { BundleBinding, ReplayedHistory, StreamVersion, StreamVersions } from '@mesh/shared/core/versions'
import { findVersion, liveVersion, newestBundle } from '@mesh/shared/core/versions'

/**
 * Every change of a `mesh.versions` record, as pure functions. Each is idempotent: applied to its own result it returns that very
 * object, so a call repeated after a crash writes nothing.
 */
export type UnboundBundle = Omit<BundleBinding, 'from'>

export function firstBinding(options: {
  readonly stream: string
  readonly rawTopicId: string
  readonly partitions: number
  readonly bundle: UnboundBundle
  readonly at: string
}): StreamVersions {
  const { stream, rawTopicId, partitions, bundle, at } = options
  const zeros = Array.from({ length: partitions }, () => 0)
  const version: StreamVersion = {
    version: 1,
    status: 'live',
    bundles: [{ ...bundle, from: zeros }],
    start: zeros,
    replay: null,
  }
  return checked({ stream, epoch: 0, live: 1, rawTopicId, partitions, versions: [version], at })
}

/** Binds a changed bundle to the live version from `from` (raw offsets per partition) on. */
export function nextBinding(
  state: StreamVersions,
  bundle: UnboundBundle,
  { from, at }: { readonly from: readonly number[]; readonly at: string },
): StreamVersions {
  const live = liveVersion(state)
  if (newestBundle(live).hash === bundle.hash) return state
  return checked(replace(state, { ...live, bundles: [...live.bundles, { ...bundle, from }] }, at))
}

export function addCandidate(
  state: StreamVersions,
  candidate: {
    readonly version: number
    readonly bundle: UnboundBundle
    readonly start: readonly number[]
    readonly replay: ReplayedHistory
    readonly at: string
  },
): StreamVersions {
  const { version, bundle, start, replay, at } = candidate
  const known = findVersion(state, version)
  if (known?.replay?.job === replay.job) return state
  const added: StreamVersion = { version, status: 'candidate', bundles: [{ ...bundle, from: start }], start, replay }
  return checked({ ...state, versions: [...state.versions, added], at })
}

/** More history goes through the replay topic; the changeover only moves forward, and only while the replay is not finished. */
export function moveChangeover(
  state: StreamVersions,
  version: number,
  { changeover, at }: { readonly changeover: readonly number[]; readonly at: string },
): StreamVersions {
  const { candidate, replay } = replaying(state, version)
  if (replay.ends !== null) throw new Error(`stream ${state.stream}: the changeover of version ${version} is final`)
  if (replay.changeover.every((offset, p) => offset === changeover[p])) return state
  if (replay.changeover.some((offset, p) => offset > changeover[p]!)) {
    throw new Error(`stream ${state.stream}: the changeover of version ${version} cannot move back`)
  }
  return checked(replace(state, { ...candidate, replay: { ...replay, changeover } }, at))
}

/** Everything is emitted: the candidate reads its replay topic to `ends`, then raw from the changeover. */
export function finishReplay(
  state: StreamVersions,
  version: number,
  done: { readonly ends: readonly number[]; readonly at: string },
): StreamVersions {
  const { candidate, replay } = replaying(state, version)
  if (replay.ends !== null) return state
  return checked(replace(state, { ...candidate, replay: { ...replay, ends: done.ends } }, done.at))
}

function replaying(
  state: StreamVersions,
  version: number,
): { readonly candidate: StreamVersion; readonly replay: ReplayedHistory } {
  const candidate = findVersion(state, version)
  if (!candidate?.replay) throw new Error(`stream ${state.stream}: version ${version} is not being replayed`)
  return { candidate, replay: candidate.replay }
}

/**
 * The candidate becomes live and the version before it retired. The written record is the cutover. The caller has seen that the
 * candidate reads raw on every partition, so its replay is over and nobody needs the topic again.
 */
export function cutOver(state: StreamVersions, version: number, at: string): StreamVersions {
  if (state.live === version) return state
  const candidate = findVersion(state, version)
  if (candidate?.status !== 'candidate') {
    throw new Error(`stream ${state.stream}: version ${version} is not a candidate`)
  }
  const retired = replace(state, { ...liveVersion(state), status: 'retired' }, at)
  const live = replace(retired, { ...candidate, status: 'live', replay: null }, at)
  return checked({ ...live, live: version, epoch: state.epoch + 1 })
}

/** Removes a candidate. Its number is never given again. */
export function cancelCandidate(state: StreamVersions, version: number, at: string): StreamVersions {
  const candidate = findVersion(state, version)
  if (!candidate) return state
  if (candidate.status !== 'candidate') throw new Error(`stream ${state.stream}: version ${version} is not a candidate`)
  return checked({ ...state, versions: state.versions.filter((v) => v.version !== version), at })
}

function replace(state: StreamVersions, version: StreamVersion, at: string): StreamVersions {
  return { ...state, versions: state.versions.map((v) => (v.version === version.version ? version : v)), at }
}

/** What every record must hold, whatever led to it. @throws Error: a defect, and nothing is written. */
function checked(state: StreamVersions): StreamVersions {
  const problem = findProblem(state)
  if (problem) throw new Error(`stream ${state.stream}: ${problem}`)
  return state
}

function findProblem(state: StreamVersions): string | null {
  const { partitions, versions } = state
  const fits = (offsets: readonly number[]): boolean =>
    offsets.length === partitions && offsets.every((n) => Number.isSafeInteger(n) && n >= 0)
  const live = versions.filter((v) => v.status === 'live').map((v) => v.version)
  if (live.length !== 1 || live[0] !== state.live) return `live is ${state.live}, marked live are [${live.join()}]`
  if (versions.filter((v) => v.status === 'candidate').length > 1) return 'more than one candidate'
  if (new Set(versions.map((v) => v.version)).size !== versions.length) return 'a version number occurs twice'
  for (const { version, bundles, start, replay } of versions) {
    if (bundles.length === 0) return `version ${version} has no bundle`
    if (![start, ...bundles.map((b) => b.from)].every(fits)) return `version ${version} has offsets of another shape`
    if (bundles.some((b, i) => i > 0 && b.from.some((offset, p) => offset < bundles[i - 1]!.from[p]!))) {
      return `version ${version} has bundles whose offsets go back`
    }
    if (!replay) continue
    if (!fits(replay.changeover) || (replay.ends && !fits(replay.ends)))
      return `version ${version} has no full changeover`
    if (replay.changeover.some((offset, p) => offset < start[p]!))
      return `version ${version} changes over before its start`
  }
  return null
}
