import { addCounts, ZERO_COUNTS } from '@mesh/shared/core/books'
import { enricherGroup, rawTopic, refinedTopic, versionTable } from '@mesh/shared/core/topics'
import { newestBundle, type StreamVersion, type StreamVersions } from '@mesh/shared/core/versions'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { getBundle } from '@mesh/shared/schema/bundle'
import type { MeshAccess } from '../mesh-access.ts'
import { closeBooks, type PartitionBooks, type StreamSummary, type Verdict, worst } from './books.ts'
import { type Cut, parseCut } from './cut.ts'
import { readRawBooks, readRefinedBooks } from './kafka-books.ts'
import { readBronzeBooks, readSilverBooks } from './lake-books.ts'
import { readLandingBooks } from './landing-books.ts'

export type VerifySources = { readonly kafka: KafkaPort; readonly store: ObjectStore; readonly warehouseFile: string }

/** Closes the books of every version that is live or a candidate, partition by partition. */
export async function verifyStream(sources: VerifySources, state: StreamVersions): Promise<StreamSummary[]> {
  const summaries: StreamSummary[] = []
  for (const version of state.versions) {
    if (version.status === 'retired') continue
    const books = await readVersionBooks(sources, state, version)
    const verdicts = books.map(closeBooks)
    summaries.push({
      stream: state.stream,
      version: version.version,
      live: version.version === state.live,
      state: worst(verdicts.map((verdict) => verdict.state)),
      records: books.reduce((sum, b) => sum + (b.raw?.records ?? 0), 0),
      counts: books.reduce((sum, b) => addCounts(sum, { ...b.fates, outputs: b.outputs?.records ?? 0 }), ZERO_COUNTS),
      waiting: books.reduce((sum, b) => sum + b.waiting, 0),
      verdicts,
    })
  }
  return summaries
}

/** The books of all streams of a mesh, as they are at this moment. */
export async function verifyMesh(mesh: MeshAccess): Promise<StreamSummary[]> {
  const sources = { kafka: mesh.kafka(), store: mesh.store, warehouseFile: mesh.warehouseFile }
  const states = await mesh.streams()
  return (await Promise.all(states.map((state) => verifyStream(sources, state)))).flat()
}

/** `closed` when every version of every stream closes. */
export function overall(summaries: readonly StreamSummary[]): Verdict['state'] {
  return worst(summaries.map((summary) => summary.state))
}

async function readVersionBooks(
  sources: VerifySources,
  state: StreamVersions,
  version: StreamVersion,
): Promise<PartitionBooks[]> {
  const { kafka, store } = sources
  const raw = rawTopic(state.stream)
  const refined = refinedTopic(state.stream, version.version)
  const cuts = await readCuts(kafka, state, version)
  const all = [...cuts.values()]
  const rawOffsets = await kafka.admin.offsets(raw)
  const startOf = (partition: number): number => version.start[partition] ?? 0
  const logStartOf = (partition: number): number =>
    rawOffsets.find((o) => o.partition === partition)?.logStartOffset ?? 0
  const bundle = await getBundle(store, newestBundle(version).hash)
  const refinedTopicId = (await kafka.admin.topicIds([refined])).get(refined) ?? ''
  const readable = (cut: Cut): number =>
    Math.min(Math.max(startOf(cut.partition), logStartOf(cut.partition)), cut.position)

  const rawBooks = await readRawBooks(
    kafka,
    raw,
    all.map((cut) => ({ partition: cut.partition, from: readable(cut), to: cut.position })),
  )
  const untouched = await readRawBooks(
    kafka,
    raw,
    // What lies in an open transaction is not there for anybody yet, and may never be.
    rawOffsets
      .filter(({ partition }) => !cuts.has(partition))
      .map(({ partition, logStartOffset, lastStableOffset }) => {
        const from = Math.max(startOf(partition), logStartOffset)
        return { partition, from, to: Math.max(from, lastStableOffset) }
      }),
  )
  const refinedOffsets = new Map((await kafka.admin.offsets(refined)).map((o) => [o.partition, o]))
  const refinedFrom = (partition: number): number => refinedOffsets.get(partition)?.logStartOffset ?? 0
  const compacted = bundle.contract.refine.cleanup === 'compact'
  const refinedBooks = await readRefinedBooks(
    kafka,
    refined,
    all.map((cut) => {
      const { partition } = cut
      const from = refinedFrom(partition)
      return { cut, range: { partition, from, to: refinedOffsets.get(partition)?.lastStableOffset ?? from } }
    }),
  )
  const refinedCut = (cut: Cut) => ({ ...cut, refinedOffset: refinedBooks.get(cut.partition)!.end })
  const landing = await readLandingBooks(
    sources.warehouseFile,
    {
      stream: state.stream,
      version: version.version,
      table: versionTable(bundle.contract.warehouse.table, version.version),
      rawTopicId: state.rawTopicId,
      refinedTopicId,
    },
    all.map(refinedCut),
  )

  const books: PartitionBooks[] = []
  for (let partition = 0; partition < state.partitions; partition++) {
    const cut = cuts.get(partition)
    const start = startOf(partition)
    if (!cut) {
      // A partition without a commit is closed only when there is nothing in it to decide; what was aborted is nothing.
      const empty = (untouched.get(partition)?.records ?? 0) === 0
      books.push(unread(state.stream, version.version, partition, start, empty ? start : null))
      continue
    }
    const chain = { stream: state.stream, partition }
    const bronzeId = { ...chain, layer: 'bronze' as const, version: 1, topicId: state.rawTopicId }
    const silverId = { ...chain, layer: 'silver' as const, version: version.version, topicId: refinedTopicId }
    const bronze = await readBronzeBooks(store, bronzeId, start, cut.position)
    const fromLog = rawBooks.get(partition)!
    const gone = readable(cut) > start ? await readBronzeBooks(store, bronzeId, start, readable(cut)) : null
    const refinedHere = refinedBooks.get(partition)!
    books.push({
      stream: state.stream,
      version: version.version,
      partition,
      start,
      position: cut.position,
      fates: cut.counts,
      outputs: cut.outputs,
      waiting: cut.waiting,
      raw: gone ? { records: gone.records + fromLog.records, hash: bronze.hash } : fromLog,
      bronze,
      refined: { ...refinedHere, compacted: compacted && refinedFrom(partition) > 0 },
      silver: await readSilverBooks(store, silverId, refinedCut(cut)),
      landing: landing.get(partition) ?? null,
    })
  }
  return books
}

function unread(
  stream: string,
  version: number,
  partition: number,
  start: number,
  position: number | null,
): PartitionBooks {
  const none = {
    fates: null,
    outputs: null,
    waiting: 0,
    raw: null,
    bronze: null,
    refined: null,
    silver: null,
    landing: null,
  }
  return { stream, version, partition, start, position, ...none }
}

async function readCuts(kafka: KafkaPort, state: StreamVersions, version: StreamVersion): Promise<Map<number, Cut>> {
  const committed = await kafka.admin.committed(enricherGroup(state.stream, version.version), rawTopic(state.stream))
  const cuts = new Map<number, Cut>()
  for (const [partition, commit] of committed) {
    const cut = parseCut(partition, commit)
    if (cut) cuts.set(partition, cut)
  }
  return cuts
}
