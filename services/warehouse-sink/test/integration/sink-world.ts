import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { formatMeshSrc, MAIN_LANE } from '@mesh/shared/core/coordinate'
import { header, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { HEADER, landingGroup, refinedTopic } from '@mesh/shared/core/topics'
import type { StreamVersion, StreamVersions } from '@mesh/shared/core/versions'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import { createFolderObjectStore } from '@mesh/shared/lake/folder-object-store'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { createAvroCodec, type FastAvroCodec } from '@mesh/shared/schema/avro-codec'
import { freezeBundle, putBundle } from '@mesh/shared/schema/bundle'
import type { Bundle } from '@mesh/shared/schema/port'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import { loadStreamFolder } from '@mesh/shared/schema/stream-folder'
import { inject, onTestFinished } from 'vitest'

export const PARTITIONS = 2
export const RAW_TOPIC_ID = 'raw-topic-id'

const FIELDS = [
  { name: 'id', type: 'string' },
  { name: 'distance', type: ['null', 'long'], default: null },
]
const GROWN = [
  ...FIELDS,
  { name: 'seen', type: ['null', { type: 'long', logicalType: 'timestamp-micros' }], default: null },
]

/** A stream of its own on the real broker and registry, with a lake folder and a warehouse file that go with the test. */
export type SinkWorld = {
  readonly stream: string
  /** View name: `VIEW__V1` is the first table. */
  readonly view: string
  readonly kafka: KafkaPort
  readonly codec: FastAvroCodec
  readonly store: ObjectStore
  readonly lakeUrl: string
  readonly warehouseFile: string
  readonly brokers: string
  readonly registryUrl: string
  /** Freezes the stream's folder, with one more optional field when grown. */
  bundle(mode: 'append' | 'upsert', grown?: boolean): Promise<Bundle>
  createTopic(version: number): Promise<void>
  versions(epoch: number, live: number, versions: readonly StreamVersion[]): StreamVersions
  /** Writes refined records as the enricher does: raw offsets [from, to) of each partition, in order. */
  emit(version: number, bundle: Bundle, from: number, to: number): Promise<void>
  ends(version: number): Promise<ReadonlyMap<number, number>>
  committed(version: number): Promise<ReadonlyMap<number, number>>
}

export async function createSinkWorld(): Promise<SinkWorld> {
  const stream = `landing-${randomUUID().slice(0, 8)}`
  const view = stream.replaceAll('-', '_').toUpperCase()
  const folder = await mkdtemp(path.join(tmpdir(), 'mesh-warehouse-'))
  const brokers = inject('kafkaBrokers')
  const registryUrl = inject('registryUrl')
  const kafka = connectKafka({ brokers: brokers.split(','), clientId: 'warehouse-sink-test' })
  const registry = createSchemaRegistry({ url: registryUrl })
  const codec = createAvroCodec(registry)
  const lake = path.join(folder, 'lake')
  const store = createFolderObjectStore(lake)
  const producer: Producer = await kafka.producer()
  onTestFinished(async () => {
    await kafka.close()
    await rm(folder, { recursive: true, force: true, maxRetries: 10 })
  })

  async function bundle(mode: 'append' | 'upsert', grown = false): Promise<Bundle> {
    const dir = path.join(folder, `${mode}-${grown}`, stream)
    await mkdir(dir, { recursive: true })
    const avsc = { type: 'record', name: 'Flight', fields: grown ? GROWN : FIELDS }
    await writeFile(path.join(dir, 'refined.avsc'), JSON.stringify(avsc))
    await writeFile(
      path.join(dir, 'stream.yaml'),
      [
        `name: ${stream}`,
        'description: flights of a test',
        'owner: test@example.com',
        'key: /id',
        'ingest: [{ kind: events, auth: none }]',
        `raw: { partitions: ${PARTITIONS}, retention: 7d }`,
        'refine: { schema: refined.avsc }',
        `warehouse: { table: ${view}, mode: ${mode} }`,
      ].join('\n'),
    )
    const frozen = await freezeBundle(await loadStreamFolder(dir))
    await putBundle(store, frozen)
    return frozen
  }

  async function emit(version: number, { refinedAvsc }: Bundle, from: number, to: number): Promise<void> {
    const topic = refinedTopic(stream, version)
    const schemaId = await registry.register(`${topic}-value`, refinedAvsc)
    const records: RecordToSend[] = []
    for (let offset = from; offset < to; offset++) {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const src = { lane: MAIN_LANE, topicId: RAW_TOPIC_ID, partition, offset, index: 0 }
        const record = { id: `p${partition}-${offset}`, distance: BigInt(offset) }
        records.push({
          partition,
          key: textBytes(`k${offset % 5}`),
          value: offset % 10 === 9 ? null : codec.encode(schemaId, refinedAvsc, record),
          headers: [
            header(HEADER.src, formatMeshSrc(src)),
            header('ce_id', `e${partition}-${offset}`),
            header('ce_time', new Date(1_700_000_000_000 + offset).toISOString()),
          ],
        })
      }
    }
    await producer.send(topic, records)
  }

  return {
    stream,
    view,
    kafka,
    codec,
    store,
    lakeUrl: `file://${lake}`,
    warehouseFile: path.join(folder, 'warehouse.duckdb'),
    brokers,
    registryUrl,
    bundle,
    emit,
    async createTopic(version) {
      await kafka.admin.ensureTopics([{ name: refinedTopic(stream, version), partitions: PARTITIONS, config: {} }])
    },
    versions: (epoch, live, versions) => ({
      stream,
      epoch,
      live,
      rawTopicId: RAW_TOPIC_ID,
      partitions: PARTITIONS,
      versions,
      at: new Date().toISOString(),
    }),
    async ends(version) {
      const offsets = await kafka.admin.offsets(refinedTopic(stream, version))
      return new Map(offsets.map(({ partition, highWatermark }) => [partition, highWatermark]))
    },
    async committed(version) {
      const found = await kafka.admin.committed(landingGroup(stream, version), refinedTopic(stream, version))
      return new Map([...found].map(([partition, { offset }]) => [partition, offset]))
    },
  }
}

export function versionOf(version: number, status: StreamVersion['status'], bundle: Bundle): StreamVersion {
  const { hash, codeHash, contractHash } = bundle
  return {
    version,
    status,
    bundles: [{ hash, codeHash, contractHash, schemaId: 0, from: [] }],
    start: [0, 0],
    replay: null,
  }
}
