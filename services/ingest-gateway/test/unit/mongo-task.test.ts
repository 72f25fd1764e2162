import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import { bytesText } from '@mesh/shared/core/record'
import type { MongodbSource } from '@mesh/shared/core/source'
import { createMemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { BSON, type Document } from 'mongodb'
import { afterEach, describe, expect, test } from 'vitest'
import type { MongoCollection } from '../../src/adapters/mongo-collection.ts'
import { openSourceSession } from '../../src/adapters/source-session.ts'
import { documentKey } from '../../src/core/mongo/document-id.ts'
import type { MongoPosition } from '../../src/core/mongo/position.ts'
import { sourceGroup } from '../../src/core/source-id.ts'
import { createDocumentSnapshots } from '../../src/document-snapshots.ts'
import { runMongo } from '../../src/mongo-task.ts'
import { createTopics, cursorState, polledStream, rawRecords } from '../support/polling-gateway.ts'

// The driver's own copy of bson: what it hands over is of no class that `import 'bson'` has.
const { EJSON, Int32, Timestamp } = BSON

const SOURCE: MongodbSource = {
  name: 'shop',
  description: '',
  owner: '',
  kind: 'mongodb',
  url: 'mongodb://127.0.0.1/',
  reader: 'driver',
  snapshot: 'initial',
  oversize: 'fail',
  heartbeatMs: 20,
}
const INGEST = { kind: 'cdc', source: 'shop', table: 'shop.orders' } as const
const ID = 'things/shop/cdc:shop.orders'

/** A collection and its oplog in memory, with tokens that name places in it. */
type Oplog = { documents: Document[]; events: Document[]; lost: boolean; opened: unknown[]; quietToken: string | null }

function collectionOf(oplog: Oplog): MongoCollection {
  return {
    time: async () => ({ seconds: 100 + oplog.events.length, ordinal: 1 }),
    async *documents(after) {
      const from = after === undefined ? 0 : oplog.documents.findIndex((one) => idOf(one) === documentKey(after.id)) + 1
      for (const [i, document] of oplog.documents.slice(from).entries()) {
        if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
        yield document
      }
    },
    changes(from) {
      oplog.opened.push(from)
      const token = 'startAfter' in from ? String(from.startAfter['_data']) : null
      const start = 'startAtOperationTime' in from ? from.startAtOperationTime.t - 100 : 0
      let at = token === null ? start : oplog.events.findIndex(({ _id }) => _id._data === token) + 1
      return {
        async next() {
          if (oplog.lost) throw new MeshError('MESH_SOURCE_TOKEN_LOST', 'the oplog no longer holds it')
          const event = oplog.events[at]
          if (event !== undefined) at++
          else await new Promise((resolve) => setTimeout(resolve, 2))
          return event ?? null
        },
        token: () => (oplog.quietToken === null ? null : { _data: oplog.quietToken }),
        close: async () => undefined,
      }
    },
    close: async () => undefined,
  }
}

const idOf = (document: Document): string => documentKey(document['_id'])

function eventOf(oplog: Oplog, operationType: string, id?: number, fields: Document = {}): Document {
  const n = oplog.events.length
  return {
    _id: { _data: `token-${n}` },
    operationType,
    clusterTime: new Timestamp({ t: 100 + n, i: 5 }),
    ...(id === undefined ? {} : { documentKey: { _id: new Int32(id) } }),
    ...(operationType === 'insert' ? { fullDocument: { _id: new Int32(id!) } } : {}),
    ...fields,
  }
}

const open: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const stop of open.splice(0)) await stop()
})

async function world(source: MongodbSource = SOURCE) {
  const oplog: Oplog = { documents: [], events: [], lost: false, opened: [], quietToken: null }
  const kafka = createMemoryKafka()
  const stream = polledStream(INGEST, source, { key: [] })
  await createTopics(kafka, stream)
  const transactionalId = sourceGroup('things', ID)
  const topic = stream.rawTopic
  const session = () => openSourceSession({ kafka, id: ID, transactionalId, topic, now: () => 1 })
  const report = { running() {}, waiting() {}, ok() {}, failing() {}, written() {} }
  const records = (): string[] =>
    rawRecords(kafka, stream)
      .map(({ key, value }) => {
        const { op } = JSON.parse(bytesText(value!)) as { op: string }
        return `${op}${key === null ? '' : bytesText(key)}`
      })
      .sort()

  /** Runs until `done`, or until it fails with a code. */
  async function run(done: () => boolean): Promise<string> {
    const stopped = new AbortController()
    const own = await session()
    open.push(() => own.close())
    const collection = collectionOf(oplog)
    const options = { source, collection: INGEST.table, stream, report, connect: async () => collection, now: Date.now }
    let code = 'stopped'
    const working = runMongo(options, own, stopped.signal).catch((error: unknown) => {
      code = isMeshError(error) ? error.code : String(error)
      stopped.abort()
    })
    while (!stopped.signal.aborted && !done()) await new Promise((resolve) => setTimeout(resolve, 1))
    stopped.abort()
    await working
    await own.close()
    return code
  }

  const position = () => cursorState(kafka) as MongoPosition | null
  const again = createDocumentSnapshots({ kafka, directory: { streams: () => [stream] }, now: () => 1 })
  return { oplog, run, records, position, again, push: (...of: Parameters<typeof push>) => push(...of), kafka, stream }

  function push(type: string, id?: number, fields?: Document): void {
    oplog.events.push(eventOf(oplog, type, id, fields))
  }
}

const documents = (count: number): Document[] => Array.from({ length: count }, (_, i) => ({ _id: new Int32(i) }))

describe('a collection', () => {
  test('is read from its documents on, then from the time before the first of them', async () => {
    const w = await world()
    w.push('insert', 7)
    w.oplog.documents = documents(3)
    expect(await w.run(() => w.position()?.snapshot === null)).toBe('stopped')
    w.push('delete', 0)
    expect(await w.run(() => w.records().includes('d0'))).toBe('stopped')
    // What lies before the snapshot's time is in its documents, not in the stream.
    expect(w.records()).toEqual(['d0', 'r0', 'r1', 'r2'])
    expect(w.position()?.token).toBe('{"_data":"token-1"}')
  })

  test('is read on in the middle of its documents after a stop', async () => {
    const w = await world()
    w.oplog.documents = documents(2500)
    await w.run(() => (w.position()?.snapshot?.documents ?? 0) >= 1000)
    const before = w.records().length
    expect(before).toBeLessThan(2500)
    await w.run(() => w.position()?.snapshot === null)
    expect(new Set(w.records()).size).toBe(2500)
    expect(w.records()).toHaveLength(2500)
  })

  test('without a snapshot is read from its changes on', async () => {
    const w = await world({ ...SOURCE, snapshot: 'none' })
    w.oplog.documents = documents(3)
    await w.run(() => w.position() !== null)
    w.push('insert', 9)
    await w.run(() => w.records().length > 0)
    expect(w.records()).toEqual(['c9'])
  })

  test('that is quiet moves its token all the same', async () => {
    const w = await world()
    w.oplog.quietToken = 'later'
    await w.run(() => w.position()?.token === '{"_data":"later"}')
    expect(w.records()).toEqual([])
  })

  test('that is dropped is a truncate, and is read on behind its end', async () => {
    const w = await world()
    await w.run(() => w.position()?.snapshot === null)
    w.push('insert', 1)
    w.push('drop')
    w.push('invalidate')
    w.push('insert', 2)
    await w.run(() => w.records().includes('c2'))
    expect(w.records()).toEqual(['c1', 'c2', 't'])
    expect(w.oplog.opened.at(-1)).toEqual({ startAfter: { _data: 'token-2' } })
  })

  test('that is renamed stops, with what came before it written', async () => {
    const w = await world()
    await w.run(() => w.position()?.snapshot === null)
    w.push('insert', 1)
    w.push('rename', undefined, { to: { db: 'shop', coll: 'old' } })
    w.push('insert', 2)
    for (let life = 0; life < 2; life++) expect(await w.run(() => false)).toBe('MESH_SOURCE_COLLECTION_RENAMED')
    expect(w.records()).toEqual(['c1'])
    expect(w.position()?.token).toBe('{"_data":"token-0"}')
  })

  test('with a change that no record holds stops there, or goes on without its documents', async () => {
    for (const oversize of ['fail', 'dead-letter'] as const) {
      const w = await world({ ...SOURCE, oversize })
      await w.run(() => w.position()?.snapshot === null)
      w.push('insert', 1)
      w.push('insert', 2, { fullDocument: { _id: new Int32(2), text: 'x'.repeat(5_000_000) } })
      w.push('insert', 3)
      const code = await w.run(() => w.records().includes('c3'))
      expect([code, w.records()]).toEqual(
        oversize === 'fail' ? ['MESH_SOURCE_EVENT_TOO_LARGE', ['c1']] : ['stopped', ['c1', 'c2', 'c3']],
      )
    }
  })

  test('whose token is dead stands still, and begins anew when it is asked to', async () => {
    const w = await world()
    w.oplog.documents = documents(2)
    w.push('insert', 1)
    await w.run(() => w.position()?.snapshot === null)
    w.oplog.lost = true
    const before = w.position()
    expect(await w.run(() => false)).toBe('MESH_SOURCE_TOKEN_LOST')
    expect(w.position()).toEqual(before)
    expect(w.records()).toEqual(['r0', 'r1'])
    expect(await w.again('shop', { collection: null, anew: true })).toEqual(['shop.orders'])
    expect(w.position()).toBeNull()
    w.oplog.lost = false
    await w.run(() => w.records().length === 4)
    expect(w.records()).toEqual(['r0', 'r0', 'r1', 'r1'])
  })
})

describe('documents that are asked for again', () => {
  test('come beside the changes, whose place stays', async () => {
    const w = await world()
    w.oplog.documents = documents(2)
    await w.run(() => w.position()?.snapshot === null)
    w.push('insert', 5)
    await w.run(() => w.records().includes('c5'))
    expect(await w.again('shop', { collection: 'shop.other', anew: false })).toEqual([])
    expect(await w.again('shop', { collection: 'shop.orders', anew: false })).toEqual(['shop.orders'])
    await w.run(() => w.position()?.snapshot === null)
    expect(w.records()).toEqual(['c5', 'r0', 'r0', 'r1', 'r1'])
    expect(w.position()?.token).toBe('{"_data":"token-0"}')
  })

  test('are noticed by a reader that has nothing to do: it is fenced by whoever asked', async () => {
    const w = await world()
    await w.run(() => w.position()?.snapshot === null)
    let asked = false
    const code = await w.run(() => {
      if (!asked) void w.again('shop', { collection: null, anew: true })
      asked = true
      return false
    })
    expect(code).toBe('MESH_KAFKA_FENCED')
  })
})

test('positions keep the types of ids', () => {
  expect(EJSON.parse('{"$numberInt":"5"}', { relaxed: false })).toEqual(new Int32(5))
})
