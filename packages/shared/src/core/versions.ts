/**
 * `mesh.versions`: per stream which versions of its derived layers exist. The record is the commit point of apply and
 * cutover, written only by the replayer. Everything else is an idempotent projection of it and carries its epoch.
 */

/** The code and contract of a version from a raw offset on (per partition; missing = 0). */
export type BundleBinding = {
  /** Hash of the whole bundle: its folder name in the object store. */
  readonly hash: string
  /** Hash of the refine module graph, contract, schema and enricher version: the `mesh-code` header. */
  readonly codeHash: string
  readonly contractHash: string
  /** Registry id of refined.avsc under this version's subject. */
  readonly schemaId: number
  /** First raw offset per partition that this bundle decides. */
  readonly from: readonly number[]
}

/** A candidate's history: it reads the replay topic to `ends`, then raw from `changeover` on. */
export type ReplayedHistory = {
  readonly job: string
  readonly topic: string
  readonly topicId: string
  /** Per partition the replay topic's end offset; null until the replayer has finished emitting. */
  readonly ends: readonly number[] | null
  /** Per partition the raw offset C from which the version reads raw itself. */
  readonly changeover: readonly number[]
}

export type VersionStatus = 'live' | 'candidate' | 'retired'

export type StreamVersion = {
  readonly version: number
  readonly status: VersionStatus
  readonly bundles: readonly BundleBinding[]
  /** First raw offset per partition that the version covers (0 for version 1; the range start of a partial rebuild). */
  readonly start: readonly number[]
  readonly replay: ReplayedHistory | null
}

export type StreamVersions = {
  readonly stream: string
  readonly epoch: number
  readonly live: number
  /** Identity of `raw.<stream>.v1` when the stream was applied. */
  readonly rawTopicId: string
  readonly partitions: number
  readonly versions: readonly StreamVersion[]
  /** RFC 3339. */
  readonly at: string
}

export function findVersion(state: StreamVersions, version: number): StreamVersion | undefined {
  return state.versions.find((v) => v.version === version)
}

export function liveVersion(state: StreamVersions): StreamVersion {
  const live = findVersion(state, state.live)
  if (!live) throw new Error(`stream ${state.stream}: live version ${state.live} is not among its versions`)
  return live
}

/** The newest binding, whose contract and schema new records follow. */
export function newestBundle(version: StreamVersion): BundleBinding {
  const newest = version.bundles.at(-1)
  if (!newest) throw new Error(`version ${version.version} has no bundle`)
  return newest
}

/** The binding that decides a raw offset: the last one whose `from` is at or below it. */
export function bundleAt(version: StreamVersion, partition: number, offset: number): BundleBinding {
  for (let i = version.bundles.length - 1; i >= 0; i--) {
    const bundle = version.bundles[i]!
    if ((bundle.from[partition] ?? 0) <= offset) return bundle
  }
  return version.bundles[0]!
}
