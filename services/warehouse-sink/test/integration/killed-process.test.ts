import { once } from 'node:events'
import path from 'node:path'
import { textBytes } from '@mesh/shared/core/record'
import { VERSIONS_TOPIC } from '@mesh/shared/core/topics'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import { expect, test } from 'vitest'
import { type ServiceProcess, spawnService } from '../../../../tests/setup/spawn-service.ts'
import { createDuckDbFile } from '../../src/adapters/duckdb-file.ts'
import { FILE_OPTIONS, textsOf } from '../unit/duckdb.ts'
import { createSinkWorld, PARTITIONS, type SinkWorld, versionOf } from './sink-world.ts'

const SETTLE = { timeout: 120_000, interval: 50 }
/** Lives that end by SIGKILL. After each the group waits for the dead member's session to run out. */
const LIVES = 2
const MAIN = path.join(import.meta.dirname, '..', '..', 'src', 'main.ts')

const startProcess = (world: SinkWorld): ServiceProcess =>
  spawnService(MAIN, {
    MESH_KAFKA_BROKERS: world.brokers,
    MESH_REGISTRY_URL: world.registryUrl,
    MESH_LAKE_URL: world.lakeUrl,
    MESH_WAREHOUSE_URL: `duckdb://${world.warehouseFile}`,
    MESH_HTTP_PORT: '0',
    MESH_WAREHOUSE_SINK_FLUSH_ROWS: '150',
    MESH_WAREHOUSE_SINK_FLUSH_INTERVAL: '100ms',
  })

test('killed in the middle of its work, again and again, the process loses nothing and doubles nothing', async () => {
  const world = await createSinkWorld()
  const file = createDuckDbFile(world.warehouseFile, FILE_OPTIONS)
  const bundle = await world.bundle('append')
  await world.kafka.admin.ensureTopics(meshTopics())
  await world.createTopic(1)
  const producer = await world.kafka.producer()
  const put = (value: Uint8Array | null): Promise<unknown> =>
    producer.send(VERSIONS_TOPIC, [{ partition: 0, key: textBytes(world.stream), value, headers: [] }])
  await put(textBytes(JSON.stringify(world.versions(0, 1, [versionOf(1, 'live', bundle)]))))

  const landed = async (): Promise<number> => {
    const found = await textsOf(file, `SELECT count(*) FROM duckdb_tables() WHERE table_name = '${world.view}__V1'`)
    if (found[0]![0] === '0') return 0
    return Number((await textsOf(file, `SELECT count(*) FROM ${world.view}__V1`))[0]![0])
  }
  for (let life = 1; life <= LIVES; life++) {
    const sink = startProcess(world)
    const before = await landed()
    await world.emit(1, bundle, (life - 1) * 400, life * 400)
    await expect.poll(landed, SETTLE).toBeGreaterThan(before)
    sink.child.kill('SIGKILL')
    await once(sink.child, 'exit')
  }
  const last = startProcess(world)
  await expect.poll(() => world.committed(1), SETTLE).toEqual(await world.ends(1))
  const second = startProcess(world)
  // All that it said has come with `close`.
  const [exitCode] = (await once(second.child, 'close')) as [number]
  expect([exitCode, second.output()]).toEqual([1, expect.stringContaining('MESH_WAREHOUSE_SECOND_WRITER')])
  last.child.kill('SIGTERM')
  const [stopped] = (await once(last.child, 'close')) as [number]
  await put(null)
  expect([stopped, last.output()]).toEqual([0, expect.stringContaining('started')])
  const total = String(LIVES * 400 * PARTITIONS)
  const books = await textsOf(
    file,
    `SELECT count(*), count(DISTINCT (_partition, _offset)), max(_offset) FROM ${world.view}__V1`,
  )
  expect(books).toEqual([[total, total, String(LIVES * 400 - 1)]])
  expect(await textsOf(file, `SELECT sum((counts->>'outputs')::INT) FROM _mesh_ledger`)).toEqual([[total]])
}, 600_000)
