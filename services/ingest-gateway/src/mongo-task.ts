import type { RecordToSend } from '@mesh/shared/core/record'
import type { MongodbSource } from '@mesh/shared/core/source'
import { documentBytes, type MongoCollection } from './adapters/mongo-collection.ts'
import { createBatches } from './core/mongo/batches.ts'
import { type ChangeEvent, type Decoded, decodeChange } from './core/mongo/change-event.ts'
import { renamedCollection } from './core/mongo/failure.ts'
import { changeRecord, emptiedRecord, type MongoBuild, snapshotRecord } from './core/mongo/mongo-record.ts'
import {
  firstPosition,
  type MongoPosition,
  type Snapshot,
  shownPosition,
  streamStart,
  textValue,
  valueText,
} from './core/mongo/position.ts'
import type { IngestStream, SourceSession } from './core/ports.ts'
import type { SourceReport } from './core/source-status.ts'
import { sleep } from './sleep.ts'

export type MongoTaskOptions = {
  readonly source: MongodbSource
  /** `database.collection`. */
  readonly collection: string
  readonly stream: IngestStream
  readonly connect: () => Promise<MongoCollection>
  readonly report: SourceReport
  readonly now: () => number
}

/** Of one transaction; a larger document goes alone. */
const BATCH = { count: 1000, bytes: 2_000_000 } as const
/** A batch that has begun waits so long for more. */
const LINGER_MS = 10
/** A raw topic takes records up to 4 MiB, headers and key included. */
const MAX_ENVELOPE_BYTES = 4_000_000
const HEARTBEAT_MS = 10_000

/**
 * Reads a collection: its documents in the order of `_id`, then its changes from the time before the first of them. Records and position are
 * written in one transaction, so each change is in raw once. Works until the signal; rejects where the source cannot be read on.
 */
export async function runMongo(options: MongoTaskOptions, session: SourceSession, signal: AbortSignal): Promise<void> {
  const { source, stream, report, now } = options
  const collection = await options.connect()
  let position: MongoPosition
  try {
    position = (session.state as MongoPosition | null) ?? (await begin())
    if (position.snapshot !== null) await readDocuments(position.snapshot)
    while (!signal.aborted) await readChanges()
  } finally {
    await collection.close()
  }

  async function commit(records: readonly RecordToSend[], next: MongoPosition): Promise<void> {
    await session.commit({ records, state: next })
    position = next
    if (records.length > 0) report.written(records.length)
    report.ok(shownPosition(next))
  }

  /** A stream that can be opened says that changes can be read at all, before a long snapshot begins. */
  async function begin(): Promise<MongoPosition> {
    const first = firstPosition(await collection.time(), source.snapshot !== 'none')
    const changes = collection.changes(streamStart(first))
    try {
      await changes.next()
    } finally {
      await changes.close()
    }
    // Where the changes begin is decided once.
    await session.commit({ records: [], state: first })
    return first
  }

  async function readDocuments(found: Snapshot): Promise<void> {
    const at = found.at ?? (await collection.time())
    let snapshot: Snapshot = { ...found, at }
    const after = snapshot.after === null ? undefined : { id: textValue(snapshot.after) }
    report.running(shownPosition({ ...position, snapshot }))
    let records: RecordToSend[] = []
    let bytes = 0
    let last: unknown
    const write = async (): Promise<void> => {
      if (records.length === 0) return
      const after = valueText(last)
      snapshot = { at, after, documents: snapshot.documents + records.length }
      await commit(records, { ...position, snapshot })
      records = []
      bytes = 0
    }
    for await (const document of collection.documents(after)) {
      if (signal.aborted) return
      const record = await orAfter(() => snapshotRecord(document, at, build()), write)
      records.push(record)
      bytes += record.value?.byteLength ?? 0
      last = document['_id']
      if (records.length >= BATCH.count || bytes >= BATCH.bytes) await write()
    }
    await commit(records, { ...position, snapshot: null })
  }

  /** Until the signal, or until the stream ends with its collection. */
  async function readChanges(): Promise<void> {
    const changes = collection.changes(streamStart(position))
    const take = createBatches<ChangeEvent>(() => changes.next(), {
      ...BATCH,
      sizeOf: documentBytes,
      linger: () => sleep(LINGER_MS, signal),
    })
    let committedAt = now()
    try {
      while (!signal.aborted) {
        const events = await take()
        if (events.length > 0) {
          const ended = await write(events)
          committedAt = now()
          if (ended) return
        } else if (now() - committedAt >= (source.heartbeatMs ?? HEARTBEAT_MS)) {
          // A quiet collection's token would grow old with the oplog. And whoever was fenced meanwhile learns of it here.
          const token = changes.token()
          await commit([], token === null ? position : { ...position, token: valueText(token) })
          committedAt = now()
        } else report.ok(shownPosition(position))
      }
    } finally {
      await changes.close()
    }
  }

  /** @returns true where the stream has ended: what follows belongs to the next one. */
  async function write(events: readonly ChangeEvent[]): Promise<boolean> {
    const records: RecordToSend[] = []
    let next = position
    for (const event of events) {
      const change = await orAfter(
        () => {
          const decoded = decodeChange(event)
          records.push(...recordsOf(decoded))
          return decoded
        },
        () => commit(records, next),
      )
      next = { ...next, token: valueText(change.token), last: change.at }
      if (change.kind !== 'invalidated') continue
      await commit(records, next)
      return true
    }
    await commit(records, next)
    return false
  }

  function recordsOf(change: Decoded): RecordToSend[] {
    switch (change.kind) {
      case 'change':
        return [changeRecord(change, build())]
      case 'emptied':
        return [emptiedRecord(change, build())]
      case 'renamed':
        throw renamedCollection(options.collection, change.to)
      case 'invalidated':
      case 'structure':
        return []
    }
  }

  /** What cannot become a record stops the source, but not before what came ahead of it is written. */
  async function orAfter<T>(work: () => T, write: () => Promise<void>): Promise<T> {
    try {
      return work()
    } catch (error) {
      await write()
      throw error
    }
  }

  function build(): MongoBuild {
    return {
      stream,
      source: source.name,
      collection: options.collection,
      oversize: source.oversize ?? 'fail',
      maxBytes: MAX_ENVELOPE_BYTES,
      receivedAt: now(),
    }
  }
}
