import type { Contract, JoinRule } from '@mesh/shared/core/contract'
import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import type { BindResponse, PlanResponse } from '@mesh/shared/core/replay-api'
import { enricherGroup, rawTopic, refinedTopic, stateTopic, versionTable } from '@mesh/shared/core/topics'
import { liveVersion, newestBundle, type StreamVersions } from '@mesh/shared/core/versions'
import type { TopicSpec } from '@mesh/shared/kafka/port'
import type { Bundle, SchemaRegistry } from '@mesh/shared/schema/port'
import { describeChange, schemaChanges } from '@mesh/shared/schema/schema-changes'
import { changedParts, refusedForLive } from './contract-changes.ts'
import { planJoins } from './join-plan.ts'
import type { Bundles, Clock, GroupPositions, Topics, VersionsStore } from './ports.ts'
import { rfc3339 } from './ports.ts'
import { createSequencer } from './sequencer.ts'
import { streamTopics } from './topic-specs.ts'
import { firstBinding, nextBinding, type UnboundBundle } from './versions-transitions.ts'

export type BinderPorts = {
  readonly bundles: Bundles
  readonly topics: Topics
  readonly groups: GroupPositions
  readonly registry: SchemaRegistry
  readonly versions: VersionsStore
  readonly clock: Clock
}

export type Binder = {
  /** What binding would do; changes nothing. */
  plan(stream: string, hash: string): Promise<PlanResponse>
  /** Topics, then schema, then the record: each step may be repeated, so a call after a crash finishes the one before. */
  bind(stream: string, hash: string): Promise<BindResponse>
}

/** What is there and what stands in the way. */
type Inspection = {
  readonly bundle: Bundle
  readonly state: StreamVersions | null
  readonly specs: readonly TopicSpec[]
  readonly existing: ReadonlyMap<string, string>
  readonly changes: readonly string[]
  readonly schemaChanges: readonly string[]
  readonly problems: readonly MeshError[]
}

export function createBinder(ports: BinderPorts): Binder {
  const { bundles, topics, groups, registry, versions, clock } = ports
  const inSequence = createSequencer()

  async function inspect(stream: string, hash: string): Promise<Inspection> {
    const bundle = await bundles.load(hash)
    const { contract } = bundle
    const problems: MeshError[] = []
    if (contract.name !== stream) {
      throw new MeshError('MESH_CONTRACT_INVALID', `bundle ${hash} is of stream ${contract.name}, not of ${stream}`)
    }
    for (const join of contract.refine.joins) {
      const joined = versions.get(join.stream)
      if (joined) {
        const problem = await historyProblem(contract.name, join, joined)
        if (problem) problems.push(problem)
        continue
      }
      problems.push(
        new MeshError('MESH_STREAM_JOIN_UNKNOWN', `${stream} joins ${join.stream}, a stream that is not applied`),
      )
    }
    const state = versions.get(stream)
    const bound = state && (await bundles.load(newestBundle(liveVersion(state)).hash))
    const before = bound?.contract
    if (before) problems.push(...refusedForLive(before, contract))
    const specs = streamTopics(contract, state?.live ?? 1)
    const existing = await topics.ids(specs.map((spec) => spec.name))
    const counts = await Promise.all(
      [...existing.keys()].map(async (name) => [name, await topics.partitionCount(name)]),
    )
    for (const [name, count] of counts) {
      if (count === contract.raw.partitions || problems.some((p) => p.code === 'MESH_STREAM_NEEDS_RAW')) continue
      problems.push(
        new MeshError('MESH_STREAM_NEEDS_RAW', `${name} has ${count} partitions, not ${contract.raw.partitions}`),
      )
    }
    if (state && existing.get(rawTopic(stream)) !== state.rawTopicId) {
      problems.push(
        new MeshError('MESH_KAFKA_TOPIC_RECREATED', `${rawTopic(stream)} is not the topic that was applied`, {
          place: rawTopic(stream),
        }),
      )
    }
    return {
      bundle,
      state,
      specs,
      existing,
      changes: before ? changedParts(before, contract) : [],
      schemaChanges: bound ? schemaChanges(bundle.refinedAvsc, bound.refinedAvsc).map(describeChange) : [],
      problems,
    }
  }

  /** A join as of a time reads the joined topic's past, which a compacted topic and a short retention take away. */
  async function historyProblem(stream: string, join: JoinRule, joined: StreamVersions): Promise<MeshError | null> {
    if (join.asOf === undefined) return null
    const { refine } = (await bundles.load(newestBundle(liveVersion(joined)).hash)).contract
    if (refine.cleanup === 'delete' && refine.retentionMs >= join.asOf.historyMs) return null
    const kept = refine.cleanup === 'compact' ? 'only the latest record per key' : `${refine.retentionMs} ms`
    return new MeshError(
      'MESH_STREAM_JOIN_HISTORY',
      `${stream} joins ${join.stream} as of event time over ${join.asOf.historyMs} ms, and its topic keeps ${kept}`,
    )
  }

  function joinedBy({ refine }: Contract): Map<string, StreamVersions> {
    const found = refine.joins.map(({ stream }) => [stream, versions.get(stream)] as const)
    return new Map(found.flatMap(([stream, state]) => (state ? [[stream, state] as const] : [])))
  }

  async function plan(stream: string, hash: string): Promise<PlanResponse> {
    const inspected = await inspect(stream, hash)
    const { bundle, state, specs, existing, changes, problems } = inspected
    const live = state?.live ?? 1
    const bound = state && newestBundle(liveVersion(state)).hash
    const subject = subjectOf(stream, live)
    const compatibility = await registry.checkCompatible(subject, bundle.refinedAvsc)
    const all = [...problems]
    if (!compatibility.compatible) {
      all.push(new MeshError('MESH_SCHEMA_INCOMPATIBLE', `${subject}: ${compatibility.reasons.join('; ')}`))
    }
    const { table } = bundle.contract.warehouse
    return {
      stream,
      bundle: hash,
      action: all.length > 0 ? 'refused' : bound === null ? 'create' : bound === hash ? 'unchanged' : 'update',
      topics: specs.map(({ name, partitions }) => ({ name, partitions, exists: existing.has(name) })),
      schema: { subject, ...compatibility, changes: inspected.schemaChanges },
      joins: await planJoins(bundles, { contract: bundle.contract, state, joined: joinedBy(bundle.contract) }),
      tables: [versionTable(table, live), table],
      state: state && {
        live,
        epoch: state.epoch,
        bundle: bound ?? '',
        candidate: state.versions.find((v) => v.status === 'candidate')?.version ?? null,
      },
      changes,
      problems: all.map(({ code, message }) => ({ code, message })),
    }
  }

  async function bind(stream: string, hash: string): Promise<BindResponse> {
    const { bundle, state, specs, problems } = await inspect(stream, hash)
    if (problems[0]) throw problems[0]
    if (state && newestBundle(liveVersion(state)).hash === hash) return answer(state, hash, false, [])
    const live = state?.live ?? 1
    // The registry is asked before any topic is made, so that a refused schema leaves nothing behind.
    const schemaId = await registerSchema(registry, subjectOf(stream, live), bundle.refinedAvsc)
    // A stream that was applied before there were state topics gets its own; the others are there, or their loss is an error.
    const created = await topics.ensure(state ? specs.filter(({ name }) => name === stateTopic(stream, live)) : specs)
    const unbound = unboundBundle(bundle, schemaId)
    const rawTopicId = (await topics.ids([rawTopic(stream)])).get(rawTopic(stream))
    if (!rawTopicId)
      throw new MeshError('MESH_KAFKA_UNAVAILABLE', `${rawTopic(stream)} is not shown after its creation`)
    const from = state ? await undecidedFrom(state) : []
    const at = rfc3339(clock.now())
    const written = await versions.update(stream, (current) =>
      current
        ? nextBinding(current, unbound, { from, at })
        : firstBinding({ stream, rawTopicId, partitions: bundle.contract.raw.partitions, bundle: unbound, at }),
    )
    return answer(written, hash, true, created)
  }

  /**
   * Where the live enricher stands: what it has not decided yet is the new code's, also what it holds back because the old code fails.
   * What it decides until it sees the binding stays decided.
   */
  async function undecidedFrom(state: StreamVersions): Promise<number[]> {
    const { stream, partitions } = state
    const { version, start } = liveVersion(state)
    const committed = await groups.positions(enricherGroup(stream, version), rawTopic(stream), partitions)
    return committed.map((offset, partition) => offset ?? start[partition] ?? 0)
  }

  return { plan, bind: (stream, hash) => inSequence(() => bind(stream, hash)) }
}

/** TopicNameStrategy. */
export const subjectOf = (stream: string, version: number): string => `${refinedTopic(stream, version)}-value`

export function unboundBundle(bundle: Bundle, schemaId: number): UnboundBundle {
  return { hash: bundle.hash, codeHash: bundle.codeHash, contractHash: bundle.contractHash, schemaId }
}

/** Names the subject when the registry refuses. */
export async function registerSchema(registry: SchemaRegistry, subject: string, avsc: string): Promise<number> {
  try {
    return await registry.register(subject, avsc)
  } catch (error) {
    if (!isMeshError(error) || error.place) throw error
    throw new MeshError(error.code, error.message, { cause: error.cause, place: subject })
  }
}

function answer(
  versions: StreamVersions,
  bundle: string,
  changed: boolean,
  createdTopics: readonly string[],
): BindResponse {
  const { stream, live, epoch } = versions
  return { stream, changed, bundle, version: live, epoch, createdTopics, versions }
}
