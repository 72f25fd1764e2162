import type { IngestRedisKeyspace } from '@mesh/shared/core/contract'
import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import type { RecordToSend } from '@mesh/shared/core/record'
import { type RedisConnection, type RedisReply, replyList, replyText } from './adapters/redis-connection.ts'
import { createKeyTable } from './core/key-table.ts'
import type { IngestStream, SourceSession } from './core/ports.ts'
import { buildValue, type RedisValue, valueDigest } from './core/redis-value.ts'
import type { SourceReport } from './core/source-status.ts'
import { sleep } from './sleep.ts'

export type RedisKeyspaceTaskOptions = {
  readonly ingest: IngestRedisKeyspace
  readonly database: number
  readonly stream: IngestStream
  readonly connect: () => Promise<RedisConnection>
  readonly report: SourceReport
  readonly now: () => number
}

type KeyspaceState = { readonly seq: number }

const SCAN_COUNT = 500
/** Changes of one transaction. */
const BATCH = 500
/** More hints than this are worth a reading of all keys. */
const MAX_HINTS = 10_000
const PAUSE_MS = 50

/**
 * Follows the values of keys. A notification only says that a key may have changed (it is fire and forget, and of one node): the value
 * is read back, and all keys are read and compared at the start and every `reconcile`. Changes between two readings are one change.
 */
export async function runRedisKeyspace(
  options: RedisKeyspaceTaskOptions,
  session: SourceSession,
  signal: AbortSignal,
): Promise<void> {
  const { ingest, report, now } = options
  const table = createKeyTable(session.parts, ingest.maxKeys)
  let seq = (session.state as KeyspaceState | null)?.seq ?? 0
  const hints = new Set<string>()
  let overflow = false
  const redis = await options.connect()
  const listener = await options.connect().catch((error: unknown) => {
    redis.close()
    throw error
  })
  try {
    await checkNotifications(redis)
    const prefix = `__keyspace@${options.database}__:`
    await listener.listen(prefix + ingest.pattern, (channel) => {
      if (hints.size >= MAX_HINTS) overflow = true
      else hints.add(channel.slice(prefix.length))
    })
    let reconciledAt = Number.NEGATIVE_INFINITY
    while (!signal.aborted) {
      if (overflow || now() - reconciledAt >= ingest.reconcileMs) {
        reconciledAt = now()
        overflow = false
        hints.clear()
        await reconcile()
      } else if (hints.size > 0) {
        const keys = [...hints].slice(0, BATCH)
        for (const key of keys) hints.delete(key)
        await compare(keys)
      } else {
        // The command that proves both connections alive, where nothing happens.
        await listener.command('PING')
        await sleep(PAUSE_MS, signal)
      }
      report.ok({ keys: table.size(), changes: seq })
    }
  } finally {
    redis.close()
    listener.close()
  }

  async function reconcile(): Promise<void> {
    const seen = new Set<string>()
    let cursor = '0'
    do {
      const [next, keys] = replyList(
        await redis.command('SCAN', cursor, 'MATCH', ingest.pattern, 'COUNT', String(SCAN_COUNT)),
      )
      const names = replyList(keys).map(keyName)
      for (const name of names) seen.add(name)
      await compare(names)
      cursor = replyText(next) ?? '0'
    } while (cursor !== '0' && !signal.aborted)
    if (signal.aborted) return
    // Read once more before it is told gone: it may have been made while the scan went on.
    const missing = [...table.entries()].map(([key]) => key).filter((key) => !seen.has(key))
    for (let from = 0; from < missing.length; from += BATCH) await compare(missing.slice(from, from + BATCH))
  }

  async function compare(keys: readonly string[]): Promise<void> {
    const build = { stream: options.stream, source: ingest.source, receivedAt: now() }
    const records: RecordToSend[] = []
    for (const key of keys) {
      const found = await readValue(redis, key)
      const digest = found === null ? undefined : valueDigest(found)
      if (table.get(key) === digest) continue
      records.push(buildValue(key, found, ++seq, build))
      if (digest === undefined) table.delete(key)
      else table.set(key, digest)
    }
    if (records.length === 0) return
    const state: KeyspaceState = { seq }
    await session.commit({ records, state, parts: table.takeChanged() })
    report.written(records.length)
  }
}

/** Keyspace events (K) of some class must be on; who may not ask is not refused for it. */
async function checkNotifications(redis: RedisConnection): Promise<void> {
  let flags: string
  try {
    flags = replyText(replyList(await redis.command('CONFIG', 'GET', 'notify-keyspace-events'))[1]) ?? ''
  } catch (error) {
    if (isMeshError(error) && error.code === 'MESH_REDIS_REFUSED') return
    throw error
  }
  if (!flags.includes('K') || flags.length < 2) {
    throw new MeshError('MESH_REDIS_NO_NOTIFICATIONS', 'keyspace notifications are switched off')
  }
}

/** Null = there is no such key, or it holds what has no value of its own (a stream). */
async function readValue(redis: RedisConnection, key: string): Promise<RedisValue | null> {
  const type = replyText(await redis.command('TYPE', key)) ?? 'none'
  try {
    switch (type) {
      case 'string': {
        const value = await redis.command('GET', key)
        return value === null ? null : { type, value: textOrBytes(value) }
      }
      case 'hash': {
        const flat = replyList(await redis.command('HGETALL', key)).map(textOrBytes)
        const pairs = Array.from({ length: flat.length / 2 }, (_, i) => [String(flat[2 * i]), flat[2 * i + 1]] as const)
        pairs.sort(([a], [b]) => (a < b ? -1 : 1))
        return pairs.length === 0 ? null : { type, value: Object.fromEntries(pairs) }
      }
      case 'list':
        return filled(type, replyList(await redis.command('LRANGE', key, '0', '-1')).map(textOrBytes))
      case 'set': {
        const members = replyList(await redis.command('SMEMBERS', key)).map(textOrBytes)
        return filled(
          type,
          members.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
        )
      }
      case 'zset': {
        const flat = replyList(await redis.command('ZRANGE', key, '0', '-1', 'WITHSCORES')).map(textOrBytes)
        const pairs = Array.from({ length: flat.length / 2 }, (_, i) => ({
          member: flat[2 * i],
          score: flat[2 * i + 1],
        }))
        return filled(type, pairs)
      }
      default:
        return null
    }
  } catch (error) {
    // It became something else between the two commands.
    if (isMeshError(error) && error.message.startsWith('WRONGTYPE')) return readValue(redis, key)
    throw error
  }
}

const filled = (type: string, value: readonly unknown[]): RedisValue | null =>
  value.length === 0 ? null : { type, value }

const textOrBytes = (reply: RedisReply): unknown =>
  replyText(reply) ?? (Buffer.isBuffer(reply) ? { base64: reply.toString('base64') } : null)

function keyName(reply: RedisReply): string {
  const text = replyText(reply)
  if (text === null) throw new MeshError('MESH_SOURCE_EVENT', 'a key that matches is not UTF-8')
  return text
}
