import { randomUUID } from 'node:crypto'
import type { CommitEvent } from '@mesh/shared/core/books'
import { textBytes } from '@mesh/shared/core/record'
import { VERSIONS_TOPIC } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { SILENT_LOGGER } from '@mesh/shared/runtime/logger'
import { expect, onTestFinished, test } from 'vitest'
import { createDuckDbFile, type DuckDbFile } from '../../src/adapters/duckdb-file.ts'
import { createDuckDbWarehouse } from '../../src/adapters/duckdb-warehouse.ts'
import { createWarehouseSink } from '../../src/service.ts'
import { FILE_OPTIONS, textsOf } from '../unit/duckdb.ts'
import { SILENT_TELEMETRY } from '../unit/silent-telemetry.ts'
import { createSinkWorld, type SinkWorld, versionOf } from './sink-world.ts'

const SETTLE = { timeout: 120_000, interval: 50 }

/** The mesh's versions of this test alone: the broker is shared with other tests. */
async function ownVersions(
  world: SinkWorld,
): Promise<{ kafka: KafkaPort; put: (state: StreamVersions) => Promise<void> }> {
  const topic = `versions-${randomUUID()}`
  await world.kafka.admin.ensureTopics([{ name: topic, partitions: 1, config: { 'cleanup.policy': 'compact' } }])
  const producer = await world.kafka.producer()
  const follow: KafkaPort['follow'] = (name, options) =>
    world.kafka.follow(name === VERSIONS_TOPIC ? topic : name, options)
  return {
    kafka: { ...world.kafka, follow },
    async put(state) {
      const [key, value] = [textBytes(state.stream), textBytes(JSON.stringify(state))]
      await producer.send(topic, [{ partition: 0, key, value, headers: [] }])
    },
  }
}

async function startSink(world: SinkWorld, kafka: KafkaPort, file: DuckDbFile) {
  const events: CommitEvent[] = []
  const failures: unknown[] = []
  const sink = createWarehouseSink({
    kafka,
    store: world.store,
    codec: world.codec,
    warehouse: createDuckDbWarehouse(file),
    publish: async (event) => void events.push(event),
    limits: { maxRows: 60, maxBytes: 1e7, maxAgeMs: 100 },
    now: () => performance.now(),
    telemetry: SILENT_TELEMETRY,
    logger: SILENT_LOGGER,
    fatal: (error) => void failures.push(error),
  })
  await sink.start()
  let running = true
  const stop = async (): Promise<void> => {
    if (!running) return
    running = false
    await sink.stop()
  }
  onTestFinished(stop)
  return { sink, events, failures, stop }
}

test('lands every version once over restarts and redeliveries, grows the table, and the view follows a cutover', async () => {
  const world = await createSinkWorld()
  const versions = await ownVersions(world)
  const file = createDuckDbFile(world.warehouseFile, FILE_OPTIONS)
  const rows = async (sql: string) => (await textsOf(file, sql)).map((row) => row.join(' '))
  const { view } = world
  await world.createTopic(1)
  await world.createTopic(2)
  const first = await world.bundle('append')
  await versions.put(world.versions(0, 1, [versionOf(1, 'live', first)]))
  await world.emit(1, first, 0, 100)

  const before = await startSink(world, versions.kafka, file)
  await expect.poll(() => world.committed(1), SETTLE).toEqual(await world.ends(1))
  expect(await rows(`SELECT count(*), count(*) FILTER (_op = 'delete') FROM ${view}__V1`)).toEqual(['200 20'])
  expect(await rows(`SELECT count(*), sum(distance) FROM ${view}`)).toEqual(['180 8820'])
  await before.stop()

  // The enricher restarted: the tail comes again at new refined offsets.
  await world.emit(1, first, 90, 120)
  const grown = await world.bundle('upsert', true)
  const live = versionOf(1, 'live', first)
  const binding = versionOf(1, 'live', grown).bundles[0]!
  const rebound = { ...live, bundles: [...live.bundles, { ...binding, from: [120, 120] }] }
  await versions.put(world.versions(0, 1, [rebound, versionOf(2, 'candidate', grown)]))
  const after = await startSink(world, versions.kafka, file)
  await world.emit(2, grown, 0, 30)
  await expect.poll(() => world.committed(1), SETTLE).toEqual(await world.ends(1))
  await expect.poll(() => world.committed(2), SETTLE).toEqual(await world.ends(2))
  expect(await rows(`SELECT count(*), count(DISTINCT (_partition, _offset)) FROM ${view}__V1`)).toEqual(['240 240'])
  expect(
    await rows(
      `SELECT sum((counts->>'redelivered')::INT), sum((counts->>'outputs')::INT) FROM _mesh_ledger WHERE version = 1`,
    ),
  ).toEqual(['20 240'])
  expect(after.events.filter((event) => event.version === 1)[0]).toMatchObject({ layer: 'landing', nextOffset: 100 })

  // Upsert: of each of the five keys the latest, unless it is a delete (raw offsets ending in 9 have key k4).
  expect(await rows(`SELECT DISTINCT _version FROM ${view}`)).toEqual(['1'])
  expect(await rows(`SELECT _key, distance, seen FROM ${view} WHERE _partition = 0 ORDER BY ALL`)).toEqual([
    'k0 115 ',
    'k1 116 ',
    'k2 117 ',
    'k3 118 ',
  ])
  await versions.put(world.versions(1, 2, [{ ...rebound, status: 'retired' }, versionOf(2, 'live', grown)]))
  await expect.poll(() => rows(`SELECT DISTINCT _version FROM ${view}`), SETTLE).toEqual(['2'])
  expect(await rows(`SELECT version, epoch FROM _mesh_views`)).toEqual(['2 1'])
  await expect.poll(() => after.sink.readiness(), SETTLE).toMatchObject({ ready: true, detail: { failing: {} } })
  await after.stop()
  expect([...before.failures, ...after.failures]).toEqual([])
}, 600_000)
