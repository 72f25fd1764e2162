import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CommitEvent } from '@mesh/shared/core/books'
import type { Contract } from '@mesh/shared/core/contract'
import { MeshError } from '@mesh/shared/core/errors'
import { header, type KafkaRecord, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import {
  COMMITS_TOPIC,
  deadLetterTopic,
  enricherGroup,
  rawTopic,
  refinedTopic,
  stateTopic,
  VERSIONS_TOPIC,
} from '@mesh/shared/core/topics'
import type { StreamVersion, StreamVersions } from '@mesh/shared/core/versions'
import type { Producer } from '@mesh/shared/kafka/port'
import { createFolderObjectStore } from '@mesh/shared/lake/folder-object-store'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { createAvroCodec, type FastAvroCodec } from '@mesh/shared/schema/avro-codec'
import { freezeBundle, putBundle } from '@mesh/shared/schema/bundle'
import type { Bundle } from '@mesh/shared/schema/port'
import { loadStreamFolder } from '@mesh/shared/schema/stream-folder'
import { createMemoryKafka, type MemoryKafka } from '@mesh/shared/testing/memory-kafka'

export type Posted = {
  readonly partition?: number
  readonly key?: string
  readonly id?: string
  /** Event, or exact bytes, or null for a tombstone. */
  readonly value: unknown
  readonly timestamp?: number
  readonly headers?: readonly (readonly [string, string | null])[]
}

/** Everything around the enricher: a broker, a registry, the lake, and the streams of `test/streams`. */
export type World = {
  readonly kafka: MemoryKafka
  readonly codec: FastAvroCodec
  readonly store: ObjectStore
  readonly cacheDir: string
  /** Creates topics, freezes and stores the bundle, and returns the state that `mesh.versions` would hold. */
  apply(stream: string, options?: ApplyOptions): Promise<StreamVersions>
  bind(stream: string, options?: ApplyOptions): Promise<StreamVersion['bundles'][number]>
  post(topic: string, events: readonly Posted[]): Promise<number[]>
  read(topic: string): Promise<Log>
  commitEvents(): Promise<CommitEvent[]>
  refinedOf(stream: string, version?: number): Promise<Log>
  deadLettersOf(stream: string): Promise<Log>
  rawOf(stream: string): Promise<Log>
  /** Committed raw offsets per partition. */
  committed(stream: string, version?: number): Promise<ReadonlyMap<number, { offset: number; metadata: string }>>
  /** What the registry learns later. */
  addSchema(id: number, avsc: string): void
  close(): Promise<void>
}
export type Log = readonly { readonly partition: number; readonly offset: number; readonly record: KafkaRecord }[]
export type ApplyOptions = {
  readonly contract?: (contract: Contract) => Contract
  readonly partitions?: number
  readonly version?: number
}

export async function createWorld(): Promise<World> {
  const kafka = createMemoryKafka()
  const cacheDir = await mkdtemp(join(tmpdir(), 'enricher-test-'))
  const store = createFolderObjectStore(join(cacheDir, 'lake'))
  const schemas = new Map<number, string>()
  const codec = createAvroCodec({
    async schemaById(id) {
      const avsc = schemas.get(id)
      if (avsc === undefined) throw new MeshError('MESH_SCHEMA_UNKNOWN', `the registry has no schema ${id}`)
      return avsc
    },
  })
  const producer: Producer = await kafka.producer()
  const plain = (name: string, partitions: number) => ({ name, partitions, config: {} })
  await kafka.admin.ensureTopics([plain(COMMITS_TOPIC, 1), plain(VERSIONS_TOPIC, 1)])

  async function bind(stream: string, { contract = (c) => c }: ApplyOptions = {}) {
    const bundle = await frozen(stream, contract)
    await putBundle(store, bundle)
    const known = [...schemas].find(([, avsc]) => avsc === bundle.refinedAvsc)
    const schemaId = known?.[0] ?? schemas.size + 1
    schemas.set(schemaId, bundle.refinedAvsc)
    const { hash, codeHash, contractHash } = bundle
    return { hash, codeHash, contractHash, schemaId, from: [] }
  }

  async function apply(stream: string, options: ApplyOptions = {}): Promise<StreamVersions> {
    const { partitions = 1, version = 1 } = options
    const binding = await bind(stream, options)
    const names = [
      rawTopic(stream),
      refinedTopic(stream, version),
      deadLetterTopic(stream),
      stateTopic(stream, version),
    ]
    await kafka.admin.ensureTopics(names.map((name) => plain(name, partitions)))
    const zeros = Array.from({ length: partitions }, () => 0)
    return {
      stream,
      epoch: 0,
      live: version,
      rawTopicId: (await kafka.admin.topicIds([rawTopic(stream)])).get(rawTopic(stream))!,
      partitions,
      versions: [{ version, status: 'live', bundles: [binding], start: zeros, replay: null }],
      at: '2026-01-01T00:00:00Z',
    }
  }

  async function read(topic: string): Promise<Log> {
    const log: { partition: number; offset: number; record: KafkaRecord }[] = []
    const ranges = (await kafka.admin.offsets(topic)).map((o) => ({
      partition: o.partition,
      from: o.logStartOffset,
      to: o.highWatermark,
    }))
    await kafka.readRanges(topic, ranges, ({ partition, records }) => {
      for (const record of records) log.push({ partition, offset: record.offset, record })
    })
    return log.sort((a, b) => a.partition - b.partition || a.offset - b.offset)
  }

  return {
    kafka,
    codec,
    store,
    cacheDir,
    apply,
    bind,
    post: (topic, events) => producer.send(topic, events.map(recordOf)),
    read,
    commitEvents: async () =>
      (await read(COMMITS_TOPIC)).map(({ record }) => JSON.parse(Buffer.from(record.value!).toString()) as CommitEvent),
    refinedOf: (stream, version = 1) => read(refinedTopic(stream, version)),
    deadLettersOf: (stream) => read(deadLetterTopic(stream)),
    rawOf: (stream) => read(rawTopic(stream)),
    committed: (stream, version = 1) => kafka.admin.committed(enricherGroup(stream, version), rawTopic(stream)),
    addSchema: (id, avsc) => void schemas.set(id, avsc),
    async close() {
      await producer.close()
      await kafka.close()
      // A process that a test has left running may write once more.
      await rm(cacheDir, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}

const bundles = new Map<string, Promise<Bundle>>()

/** Bundling takes longer than most tests: once per process and contract. */
async function frozen(stream: string, change: (contract: Contract) => Contract): Promise<Bundle> {
  const folder = await loadStreamFolder(join(import.meta.dirname, 'streams', stream))
  const contract = change(folder.contract)
  const key = JSON.stringify(contract)
  const bundle = bundles.get(key) ?? freezeBundle({ ...folder, contract })
  bundles.set(key, bundle)
  return bundle
}

const FIRST_TIMESTAMP = Date.UTC(2026, 0, 1)

export function recordOf(
  { partition = 0, key = 'k', id, value, timestamp, headers = [] }: Posted,
  index: number,
): RecordToSend {
  const bytes = value === null ? null : value instanceof Uint8Array ? value : textBytes(JSON.stringify(value))
  return {
    partition,
    key: textBytes(key),
    value: bytes,
    headers: [
      ...(id === undefined ? [] : [header('ce_id', id)]),
      ...headers.map(([name, text]) => ({ name, value: text === null ? null : textBytes(text) })),
    ],
    timestamp: timestamp ?? FIRST_TIMESTAMP + index,
  }
}
