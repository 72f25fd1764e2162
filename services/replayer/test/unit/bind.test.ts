import { bytesText } from '@mesh/shared/core/record'
import { liveVersion, newestBundle, type StreamVersions } from '@mesh/shared/core/versions'
import { createCrashGate } from '@mesh/shared/testing/crash-gate'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { produceRaw } from '../support/raw-history.ts'
import { MINIMAL, putStream } from '../support/streams.ts'
import { createTestMesh, type TestMesh } from '../support/test-mesh.ts'

const AT = Date.parse('2026-03-01T00:00:00Z')
let mesh: TestMesh
beforeEach(async () => {
  mesh = await createTestMesh()
})
afterEach(() => mesh.stop())

const record = (stream: string): StreamVersions | null => {
  const last = mesh.kafka.log('mesh.versions', 0).findLast((r) => bytesText(r.key!) === stream)
  return last ? (JSON.parse(bytesText(last.value!)) as StreamVersions) : null
}

describe('binding a bundle', () => {
  test('the first time makes topics, registers the schema and writes {live: 1, epoch: 0}', async () => {
    const replayer = await mesh.start()
    const bundle = await putStream(mesh.store, { name: 'orders' })
    const answer = await replayer.binder.bind('orders', bundle.hash)
    expect(answer).toMatchObject({ stream: 'orders', changed: true, version: 1, epoch: 0, bundle: bundle.hash })
    expect(answer.createdTopics.toSorted()).toEqual([
      'dead-letter.orders.v1',
      'mesh.state.orders.v1',
      'raw.orders.v1',
      'refined.orders.v1',
    ])
    expect([...mesh.registry.subjects.keys()]).toEqual(['refined.orders.v1-value'])
    const ids = await mesh.kafka.admin.topicIds(['raw.orders.v1'])
    expect(record('orders')).toEqual({
      stream: 'orders',
      epoch: 0,
      live: 1,
      rawTopicId: ids.get('raw.orders.v1'),
      partitions: 2,
      versions: [
        {
          version: 1,
          status: 'live',
          bundles: [
            {
              hash: bundle.hash,
              codeHash: bundle.codeHash,
              contractHash: bundle.contractHash,
              schemaId: 1,
              from: [0, 0],
            },
          ],
          start: [0, 0],
          replay: null,
        },
      ],
      at: '2026-03-01T00:00:00.000Z',
    })
  })

  test('again with the same hash does nothing', async () => {
    const replayer = await mesh.start()
    const { hash } = await putStream(mesh.store, { name: 'orders' })
    await replayer.binder.bind('orders', hash)
    expect(await replayer.binder.bind('orders', hash)).toMatchObject({ changed: false, createdTopics: [] })
    expect(mesh.kafka.log('mesh.versions', 0)).toHaveLength(1)
  })

  test('a stream without a state topic gets it with its next bundle', async () => {
    const replayer = await mesh.start()
    await replayer.binder.bind('orders', (await putStream(mesh.store, { name: 'orders' })).hash)
    await mesh.kafka.admin.deleteTopics(['mesh.state.orders.v1'])
    const fields = [
      { name: 'n', type: 'long' },
      { name: 'm', type: 'long', default: 0 },
    ]
    const { hash } = await putStream(mesh.store, { name: 'orders', fields })
    expect(await replayer.binder.bind('orders', hash)).toMatchObject({ createdTopics: ['mesh.state.orders.v1'] })
  })

  test('a changed bundle decides from where the enricher stands, also what it has read and holds back', async () => {
    const replayer = await mesh.start()
    const first = await putStream(mesh.store, { name: 'orders' })
    await replayer.binder.bind('orders', first.hash)
    await produceRaw(mesh.producer, 'orders', { partition: 1, count: 5, timestamp: () => AT })
    const decided = Promise.withResolvers<void>()
    const enricher = mesh.kafka.consumer({
      groupId: 'mesh.enricher.refined.orders.v1',
      topics: ['raw.orders.v1'],
      assign: async () => ({
        position: 0,
        handler: {
          process: async () => ({ nextOffset: 3, metadata: '{}' }),
          committed: async () => decided.resolve(),
        },
      }),
      onFatal: decided.reject,
    })
    await enricher.start()
    await decided.promise
    await enricher.stop()
    const fields = [
      { name: 'n', type: 'long' },
      { name: 'm', type: 'long', default: 0 },
    ]
    const second = await putStream(mesh.store, { name: 'orders', fields })
    expect(await replayer.binder.bind('orders', second.hash)).toMatchObject({ changed: true, version: 1, epoch: 0 })
    const live = liveVersion(record('orders')!)
    expect(live.bundles.map((bundle) => bundle.hash)).toEqual([first.hash, second.hash])
    expect(newestBundle(live).from).toEqual([0, 3])
  })

  test('two calls at once bind one after the other', async () => {
    const replayer = await mesh.start()
    const first = await putStream(mesh.store, { name: 'orders' })
    const answers = await Promise.all([
      replayer.binder.bind('orders', first.hash),
      replayer.binder.bind('orders', first.hash),
    ])
    expect(answers.map((answer) => answer.changed)).toEqual([true, false])
  })

  test('a joined stream must be applied; the error names it', async () => {
    const replayer = await mesh.start()
    const yaml =
      'refine: { schema: refined.avsc, joins: [{ stream: airports, as: origin, on: /origin, onMissing: "null" }] }\n'
    const { hash } = await putStream(mesh.store, { name: 'flights', yaml, besides: ['airports'] })
    await expect(replayer.binder.bind('flights', hash)).rejects.toMatchObject({
      code: 'MESH_STREAM_JOIN_UNKNOWN',
      message: expect.stringContaining('airports') as string,
    })
    const airports = await putStream(mesh.store, { name: 'airports' })
    await replayer.binder.bind('airports', airports.hash)
    expect(await replayer.binder.bind('flights', hash)).toMatchObject({ changed: true })
  })

  test.each([
    ['key: /origin\n', '', [['partition', null]]],
    ['key: /id\n', '', [['global', 'the key of an event is /id, not /origin']]],
    ['key: /origin\n', ', scope: global', [['global', 'the contract asks for it (scope: global)']]],
    ['key: /origin\nraw: { partitions: 3, retention: 7d }\n', '', [['global', 'the streams have 3 and 2 partitions']]],
  ])('the plan says which part of a joined table an instance holds: %j%s', async (top, scope, expected) => {
    const replayer = await mesh.start()
    await replayer.binder.bind('airports', (await putStream(mesh.store, { name: 'airports' })).hash)
    const raw = top.includes('raw:') ? '' : MINIMAL
    const yaml = `${raw}${top}refine: { schema: refined.avsc, joins: [{ stream: airports, on: /origin${scope} }] }\n`
    const { hash } = await putStream(mesh.store, { name: 'flights', yaml, besides: ['airports'] })
    const { joins, action } = await replayer.binder.plan('flights', hash)
    expect(action).toBe('create')
    expect(joins.map((join) => [join.scope, join.reason])).toEqual(expected)
  })

  test.each([
    ['key: /id\nrefine: { schema: refined.avsc, cleanup: compact }\n', 'only the latest record'],
    ['refine: { schema: refined.avsc, retention: 1d }\n', 'keeps 86400000 ms'],
  ])('a join as of event time needs the history of the joined topic: %j', async (yaml, reason) => {
    const replayer = await mesh.start()
    const airports = await putStream(mesh.store, { name: 'airports', yaml })
    await replayer.binder.bind('airports', airports.hash)
    const joins = '[{ stream: airports, on: /origin, asOf: event-time, history: 2d }]'
    const flights = `refine: { schema: refined.avsc, joins: ${joins} }\n`
    const { hash } = await putStream(mesh.store, { name: 'flights', yaml: flights, besides: ['airports'] })
    await expect(replayer.binder.bind('flights', hash)).rejects.toMatchObject({
      code: 'MESH_STREAM_JOIN_HISTORY',
      message: expect.stringContaining(reason) as string,
    })
  })

  test.each([
    ['raw: { partitions: 3, retention: 7d }\n', 'MESH_STREAM_NEEDS_RAW', 'raw.partitions'],
    ['raw: { partitions: 2, retention: 7d }\nkey: /id\n', 'MESH_STREAM_NEEDS_RAW', 'key'],
    ['raw: { partitions: 2, retention: 8d }\n', 'MESH_CONTRACT_NOT_YET', 'raw.retention'],
    [
      'raw: { partitions: 2, retention: 7d }\nwarehouse: { table: OTHER }\n',
      'MESH_STREAM_NEEDS_REPLAY',
      'warehouse.table',
    ],
  ])('%s is refused with %s', async (yaml, code, part) => {
    const replayer = await mesh.start()
    const first = await putStream(mesh.store, { name: 'orders' })
    await replayer.binder.bind('orders', first.hash)
    const { hash } = await putStream(mesh.store, { name: 'orders', yaml })
    await expect(replayer.binder.bind('orders', hash)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(part) as string,
    })
    expect(mesh.kafka.log('mesh.versions', 0)).toHaveLength(1)
  })

  test('a refused schema leaves nothing behind', async () => {
    const replayer = await mesh.start()
    const { hash } = await putStream(mesh.store, { name: 'orders' })
    mesh.registry.refuse = 'field n was removed'
    await expect(replayer.binder.bind('orders', hash)).rejects.toMatchObject({ code: 'MESH_SCHEMA_INCOMPATIBLE' })
    expect(await mesh.kafka.admin.listTopics()).not.toContain('raw.orders.v1')
    expect(record('orders')).toBeNull()
  })

  test('a raw topic that was made anew is refused', async () => {
    const replayer = await mesh.start()
    const first = await putStream(mesh.store, { name: 'orders' })
    await replayer.binder.bind('orders', first.hash)
    mesh.kafka.recreate('raw.orders.v1')
    await expect(replayer.binder.bind('orders', first.hash)).rejects.toMatchObject({
      code: 'MESH_KAFKA_TOPIC_RECREATED',
    })
  })

  test('a call after a crash at any point finishes the one before, and the record is written once', async () => {
    const { hash } = await putStream(mesh.store, { name: 'orders' })
    for (let at = 1; ; at++) {
      const fresh = await createTestMesh()
      await putStream(fresh.store, { name: 'orders' })
      const gate = createCrashGate(at)
      const outcome = await fresh
        .start(gate)
        .then((replayer) => replayer.binder.bind('orders', hash))
        .catch(() => null)
      const replayer = await fresh.start()
      const answer = await replayer.binder.bind('orders', hash)
      expect(answer.versions).toMatchObject({ live: 1, epoch: 0, versions: [{ bundles: [{ hash }] }] })
      expect(fresh.kafka.log('mesh.versions', 0)).toHaveLength(1)
      expect((await fresh.kafka.admin.listTopics()).filter((topic) => topic.includes('orders'))).toHaveLength(4)
      await fresh.stop()
      if (outcome !== null) {
        expect(at).toBeGreaterThan(20)
        break
      }
    }
  })
})

describe('planning a bundle', () => {
  test('a new stream: every topic is to be made, and nothing is', async () => {
    const replayer = await mesh.start()
    const { hash } = await putStream(mesh.store, { name: 'orders' })
    expect(await replayer.binder.plan('orders', hash)).toEqual({
      stream: 'orders',
      bundle: hash,
      action: 'create',
      topics: ['raw.orders.v1', 'refined.orders.v1', 'dead-letter.orders.v1', 'mesh.state.orders.v1'].map((name) => ({
        name,
        partitions: 2,
        exists: false,
      })),
      schema: { subject: 'refined.orders.v1-value', compatible: true, reasons: [], changes: [] },
      joins: [],
      tables: ['ORDERS__V1', 'ORDERS'],
      state: null,
      changes: [],
      problems: [],
    })
    expect(await mesh.kafka.admin.listTopics()).not.toContain('raw.orders.v1')
  })

  test('an applied stream: unchanged, changed and refused are told apart with every reason', async () => {
    const replayer = await mesh.start()
    const first = await putStream(mesh.store, { name: 'orders' })
    await replayer.binder.bind('orders', first.hash)
    expect(await replayer.binder.plan('orders', first.hash)).toMatchObject({ action: 'unchanged', changes: [] })
    const second = await putStream(mesh.store, {
      name: 'orders',
      yaml: 'raw: { partitions: 2, retention: 7d }\ndescription: other\n',
    })
    expect(await replayer.binder.plan('orders', second.hash)).toMatchObject({
      action: 'update',
      changes: ['description'],
      state: { live: 1, epoch: 0, bundle: first.hash, candidate: null },
    })
    const wider = await putStream(mesh.store, {
      name: 'orders',
      fields: [
        { name: 'n', type: 'double' },
        { name: 'm', type: ['null', 'string'], default: null },
      ],
    })
    expect((await replayer.binder.plan('orders', wider.hash)).schema.changes).toEqual([
      'field n is widened from long to double',
      'field m is added; older records read as null',
    ])
    const third = await putStream(mesh.store, {
      name: 'orders',
      yaml: 'raw: { partitions: 4, retention: 7d }\nkey: /k\n',
    })
    mesh.registry.refuse = 'field n was removed'
    const plan = await replayer.binder.plan('orders', third.hash)
    expect(plan.action).toBe('refused')
    expect(plan.problems.map((problem) => problem.code)).toEqual([
      'MESH_STREAM_NEEDS_RAW',
      'MESH_STREAM_NEEDS_RAW',
      'MESH_SCHEMA_INCOMPATIBLE',
    ])
  })
})

describe('the keeper of mesh.versions', () => {
  test('a restarted replayer knows what was written', async () => {
    const { hash } = await putStream(mesh.store, { name: 'orders' })
    await (await mesh.start()).binder.bind('orders', hash)
    const again = await mesh.start()
    expect(again.versions.all().map((state) => state.stream)).toEqual(['orders'])
    expect(await again.binder.bind('orders', hash)).toMatchObject({ changed: false })
  })

  test('a write of unknown outcome is looked up before the next change', async () => {
    const replayer = await mesh.start()
    const { hash } = await putStream(mesh.store, { name: 'orders' })
    mesh.kafka.failSends(new Error('timed out'), 'after')
    await expect(replayer.binder.bind('orders', hash)).rejects.toThrow('timed out')
    expect(replayer.versions.get('orders')).toEqual(record('orders'))
    mesh.kafka.failSends(null)
    expect((await replayer.binder.bind('orders', hash)).versions.versions[0]!.bundles).toHaveLength(1)
    expect(mesh.kafka.log('mesh.versions', 0)).toHaveLength(1)
  })
})
