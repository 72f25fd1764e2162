import { randomUUID } from 'node:crypto'
import type { IngestRedisStream } from '@mesh/shared/core/contract'
import { isMeshError } from '@mesh/shared/core/errors'
import { type RedisConnection, type RedisReply, replyList, replyMap, replyText } from './adapters/redis-connection.ts'
import type { IngestStream, SourceSession } from './core/ports.ts'
import { buildEntry, isEntryAfter, lostEntries, type RedisEntry } from './core/redis-entry.ts'
import type { SourceReport } from './core/source-status.ts'

export type RedisStreamTaskOptions = {
  readonly ingest: IngestRedisStream
  readonly stream: IngestStream
  readonly connect: () => Promise<RedisConnection>
  readonly report: SourceReport
  readonly onLost: (entries: number) => void
  readonly now: () => number
}

/** The position: last entry in Kafka, and how many entries of the stream's whole life are behind it. */
type StreamState = { readonly last: string | null; readonly read: number | null }

const BATCH = 500
const BLOCK_MS = 500
/** What another consumer has held for so long without an ack is taken over. */
const CLAIM_IDLE_MS = 30_000

/**
 * Reads a Redis stream as a consumer of the mesh's own group: entries → one transaction of records and position → XACK. So an entry
 * that Redis hands over again has been written under the same event id, or not at all.
 */
export async function runRedisStream(
  options: RedisStreamTaskOptions,
  session: SourceSession,
  signal: AbortSignal,
): Promise<void> {
  const { ingest, report, now } = options
  const key = ingest.stream
  const group = `mesh.${options.stream.contract.name}`
  const consumer = `mesh-${randomUUID()}`
  let state: StreamState = { last: null, read: null, ...(session.state as Partial<StreamState> | null) }
  const redis = await options.connect()
  try {
    // The former leader's entries come first, whatever their age: it can write nothing any more.
    if ((await ensureGroup()) === 'goes on') await claim(0)
    let claimedAt = now()
    while (!signal.aborted) {
      if (now() - claimedAt >= CLAIM_IDLE_MS) {
        await claim(CLAIM_IDLE_MS)
        claimedAt = now()
      }
      await noticeLoss()
      const entries = await readNew()
      if (entries.length > 0) await take(entries)
      report.ok(state.last)
    }
  } finally {
    redis.close()
  }

  async function ensureGroup(): Promise<'begins' | 'goes on'> {
    let place: 'begins' | 'goes on' = 'begins'
    const first = state.last ?? (ingest.from === 'end' ? '$' : '0')
    const start = state.last !== null && (await isReset(state.last)) ? '0' : first
    try {
      await redis.command('XGROUP', 'CREATE', key, group, start, 'MKSTREAM')
    } catch (error) {
      if (!isMeshError(error) || !error.message.startsWith('BUSYGROUP')) throw error
      // A mesh that has no position has read nothing, whatever a group says that another one, or a forgotten position, left behind.
      if (state.last === null && ingest.from === 'start') await redis.command('XGROUP', 'SETID', key, group, '0')
      else place = 'goes on'
    }
    if (state.read === null && ingest.from === 'end') state = { ...state, read: (await counts())?.added ?? null }
    await dropIdleConsumers()
    return place
  }

  /** The stream has never come as far as it was read: it is another one, or Redis lost its end. */
  async function isReset(last: string): Promise<boolean> {
    const info = await streamInfo()
    const generated = replyText(info?.get('last-generated-id'))
    return generated === null || isEntryAfter(last, generated)
  }

  async function claim(minIdleMs: number): Promise<void> {
    for (let cursor = '0-0'; !signal.aborted; ) {
      const reply = replyList(
        await redis.command('XAUTOCLAIM', key, group, consumer, String(minIdleMs), cursor, 'COUNT', String(BATCH)),
      )
      const entries = entriesOf(reply[1])
      // Since Redis 7 it names those that were deleted while they were pending.
      const gone = replyList(reply[2]).length
      if (gone > 0) options.onLost(gone)
      if (entries.length > 0) await take(entries)
      cursor = replyText(reply[0]) ?? '0-0'
      if (cursor === '0-0') return
    }
  }

  async function readNew(): Promise<RedisEntry[]> {
    const args = ['GROUP', group, consumer, 'COUNT', String(BATCH), 'BLOCK', String(BLOCK_MS), 'STREAMS', key, '>']
    const [own] = replyList(await redis.command('XREADGROUP', ...args))
    return entriesOf(replyList(own)[1])
  }

  async function take(entries: readonly RedisEntry[]): Promise<void> {
    const build = { stream: options.stream, source: ingest.source, key, field: ingest.field, receivedAt: now() }
    const records = entries.map((entry) => buildEntry(entry, build))
    const before = state.last
    const fresh = entries.filter(({ id }) => before === null || isEntryAfter(id, before))
    const last = fresh.at(-1)?.id ?? before
    const next: StreamState = { last, read: state.read === null ? null : state.read + fresh.length }
    await session.commit({ records, state: next })
    state = next
    report.written(records.length)
    await redis.command('XACK', key, group, ...entries.map(({ id }) => id))
  }

  async function noticeLoss(): Promise<void> {
    const found = await counts()
    if (found === null) return
    const { lost, read } = lostEntries(state.read, found)
    state = { ...state, read }
    if (lost > 0) options.onLost(lost)
  }

  /** Null before Redis 7, which does not count. */
  async function counts(): Promise<{ added: number; length: number } | null> {
    const info = await streamInfo()
    const added = info?.get('entries-added')
    const length = info?.get('length')
    return typeof added === 'number' && typeof length === 'number' ? { added, length } : null
  }

  async function streamInfo(): Promise<Map<string, RedisReply> | null> {
    try {
      return replyMap(await redis.command('XINFO', 'STREAM', key))
    } catch (error) {
      if (isMeshError(error) && /no such key/.test(error.message)) return null
      throw error
    }
  }

  /** Consumers of former leaders that hold nothing. */
  async function dropIdleConsumers(): Promise<void> {
    for (const each of replyList(await redis.command('XINFO', 'CONSUMERS', key, group))) {
      const info = replyMap(each)
      const name = replyText(info.get('name')) ?? ''
      const isOld = Number(info.get('idle')) > CLAIM_IDLE_MS && Number(info.get('pending')) === 0
      if (name !== consumer && isOld) await redis.command('XGROUP', 'DELCONSUMER', key, group, name)
    }
  }
}

/** `[[id, [name, value, …]], …]`; an entry that was deleted has no fields and is left out. */
function entriesOf(reply: RedisReply | undefined): RedisEntry[] {
  return replyList(reply).flatMap((each) => {
    const [id, flat] = replyList(each)
    const parts = replyList(flat) as readonly Buffer[]
    if (parts.length === 0) return []
    const fields = Array.from({ length: parts.length / 2 }, (_, i) => [parts[2 * i]!, parts[2 * i + 1]!] as const)
    return [{ id: replyText(id) ?? '', fields }]
  })
}
