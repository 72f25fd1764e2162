import type { MongodbSource } from '@mesh/shared/core/source'
import { calculateObjectSize, type Document } from 'bson'
import { type ChangeStreamOptions, MongoClient } from 'mongodb'
import type { ChangeEvent, ClusterTime } from '../core/mongo/change-event.ts'
import { filtersAfter } from '../core/mongo/document-id.ts'
import { mongoFailure } from '../core/mongo/failure.ts'
import { type ServerTimes, type StreamStart, startTime } from '../core/mongo/position.ts'
import { createFragmentJoiner } from '../core/mongo/split-events.ts'
import type { ReadSecret } from '../core/ports.ts'
import { createSourceText } from './source-text.ts'

/** One collection of a MongoDB. Every call may throw MESH_SOURCE_*. */
export type MongoCollection = {
  /** A time of the oplog that `documents` is not behind: a change before it is in what they show, a later one in `changes` from it. */
  time(): Promise<ClusterTime>
  /** All documents behind `after` in the order of `_id`; from the first one where there is none. */
  documents(after?: { readonly id: unknown }): AsyncIterable<Document>
  changes(from: StreamStart): MongoChanges
  close(): Promise<void>
}

export type MongoChanges = {
  /** The next event; null when none came for half a second. */
  next(): Promise<ChangeEvent | null>
  /** After a null: a token behind everything that was read; null where the server gives none. */
  token(): Document | null
  close(): Promise<void>
}

/** Numbers, bytes and expressions as BSON's own types: JavaScript's would round some and confuse others. */
const LOSSLESS = { promoteValues: false, promoteLongs: false, promoteBuffers: false, bsonRegExp: true } as const
const TIMEOUT_MS = 10_000
const AWAIT_MS = 500
const BATCH = 500
/** A server that does not wait itself is not asked without a pause. */
const SHORTEST_WAIT_MS = 50

export const documentBytes = (document: Document): number => calculateObjectSize(document)

/** @param name `database.collection`; the collection may have dots of its own. */
export async function connectMongo(
  source: MongodbSource,
  name: string,
  readSecret: ReadSecret,
): Promise<MongoCollection> {
  const url = await createSourceText(source.name, readSecret)(source.url)
  const dot = name.indexOf('.')
  const [databaseName, collectionName] = [name.slice(0, dot), name.slice(dot + 1)]
  const place = `${source.name}: ${name}`
  const told = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      throw mongoFailure(error, place)
    }
  }

  const client = await told(async () => new MongoClient(url, { appName: 'mesh', ...TIMEOUTS }))
  const collection = client.db(databaseName).collection(collectionName, { readConcern: { level: 'majority' } })
  let version: readonly number[]
  try {
    version = await told(async () => {
      await client.connect()
      const info = await client.db(databaseName).command({ buildInfo: 1 })
      return (info['versionArray'] as readonly unknown[]).map(Number)
    })
  } catch (error) {
    await client.close().catch(() => undefined)
    throw error
  }

  return {
    time: () =>
      told(async () => {
        // Every server knows this command; `hello` is younger.
        return startTime((await client.db('admin').command({ isMaster: 1 })) as ServerTimes)
      }),
    async *documents(after) {
      const filters = after === undefined ? [{}] : filtersAfter(after.id)
      for (const filter of filters) {
        const cursor = collection.find(filter as Document, {
          ...LOSSLESS,
          // A member that lags would not show what was written before the time that the changes begin at.
          readPreference: 'primary',
          batchSize: BATCH,
          sort: { _id: 1 },
        })
        try {
          for (;;) {
            const document = await told(() => cursor.next())
            if (document === null) break
            yield document
          }
        } finally {
          await cursor.close().catch(() => undefined)
        }
      }
    },
    changes(from) {
      const splits = isAtLeast(version, [6, 0, 9])
      const options: ChangeStreamOptions = {
        ...LOSSLESS,
        ...from,
        batchSize: BATCH,
        maxAwaitTimeMS: AWAIT_MS,
        fullDocument: source.updates === 'post-image' ? 'required' : 'updateLookup',
        ...(isAtLeast(version, [6, 0, 0]) ? { fullDocumentBeforeChange: 'whenAvailable' } : {}),
      }
      const stream = collection.watch(splits ? [{ $changeStreamSplitLargeEvent: {} }] : [], options)
      const join = createFragmentJoiner()
      return {
        async next() {
          const askedAt = performance.now()
          for (;;) {
            const event = await told(() => stream.tryNext())
            if (event === null) {
              const waited = performance.now() - askedAt
              if (waited < SHORTEST_WAIT_MS) await pause(SHORTEST_WAIT_MS - waited)
              return null
            }
            const whole = join(event)
            if (whole !== null) return whole
          }
        },
        token: () => (stream.resumeToken as Document | null | undefined) ?? null,
        close: () => stream.close().catch(() => undefined),
      }
    },
    close: () => client.close().catch(() => undefined),
  }
}

const TIMEOUTS = {
  serverSelectionTimeoutMS: TIMEOUT_MS,
  connectTimeoutMS: TIMEOUT_MS,
  socketTimeoutMS: 60_000,
} as const

function isAtLeast(version: readonly number[], least: readonly number[]): boolean {
  for (const [i, part] of least.entries()) {
    const own = version[i] ?? 0
    if (own !== part) return own > part
  }
  return true
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
