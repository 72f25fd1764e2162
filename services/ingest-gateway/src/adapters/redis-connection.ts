import { isUtf8 } from 'node:buffer'
import { MeshError } from '@mesh/shared/core/errors'
import type { RedisSource } from '@mesh/shared/core/source'
import { createClient, RESP_TYPES } from '@redis/client'
import type { ReadSecret } from '../core/ports.ts'
import { createSourceText, readTlsTexts } from './source-text.ts'

/** Bulk strings as bytes, the rest as JavaScript has it. */
export type RedisReply = Buffer | string | number | null | Error | readonly RedisReply[]

export type RedisConnection = {
  /** @throws MeshError MESH_REDIS_UNAVAILABLE, MESH_REDIS_REFUSED (Redis's own word is the first of the message) */
  command(...args: readonly (string | Buffer)[]): Promise<RedisReply>
  /** Hands over the channel's name of every message until the connection is closed. */
  listen(pattern: string, onChannel: (channel: string) => void): Promise<void>
  close(): void
}

const CONNECT_TIMEOUT_MS = 5000
const COMMAND_TIMEOUT_MS = 30_000

/** One connection, which ends with its first failure: whoever uses it opens a new one and looks again where things stand. */
export async function connectRedis(source: RedisSource, readSecret: ReadSecret): Promise<RedisConnection> {
  const text = createSourceText(source.name, readSecret)
  const [host, port] = [await text(source.host), Number(await text(source.port))] as const
  const place = `${host}:${port}`
  const plain = createClient({
    RESP: 2,
    socket: {
      host,
      port,
      connectTimeout: CONNECT_TIMEOUT_MS,
      reconnectStrategy: false,
      ...(source.tls ? { tls: true, ...(await readTlsTexts(source, text)) } : {}),
    },
    database: source.database,
    disableOfflineQueue: true,
    ...(source.user === null ? {} : { username: await text(source.user) }),
    ...(source.password === null ? {} : { password: await text(source.password) }),
  })
  // What breaks is told by the command that meets it.
  plain.on('error', () => {})
  const client = plain.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  try {
    await plain.connect()
  } catch (error) {
    plain.destroy()
    throw failure(error, place)
  }

  return {
    async command(...args) {
      try {
        return await within(COMMAND_TIMEOUT_MS, client.sendCommand<RedisReply>(args))
      } catch (error) {
        throw failure(error, place)
      }
    },
    async listen(pattern, onChannel) {
      await plain
        .pSubscribe(pattern, (_text, channel) => onChannel(channel))
        .catch((error: unknown) => {
          throw failure(error, place)
        })
    },
    close() {
      if (plain.isOpen) plain.destroy()
    },
  }
}

/** Text of a bulk string; bytes that are no UTF-8 give null. */
export function replyText(reply: RedisReply | undefined): string | null {
  if (Buffer.isBuffer(reply)) return isUtf8(reply) ? reply.toString('utf8') : null
  return typeof reply === 'string' || typeof reply === 'number' ? String(reply) : null
}

/** A flat list of names and values, as RESP 2 gives maps. */
export function replyMap(reply: RedisReply | undefined): Map<string, RedisReply> {
  const map = new Map<string, RedisReply>()
  const list = Array.isArray(reply) ? (reply as readonly RedisReply[]) : []
  for (let i = 0; i + 1 < list.length; i += 2) map.set(replyText(list[i]) ?? '', list[i + 1] ?? null)
  return map
}

export const replyList = (reply: RedisReply | undefined): readonly RedisReply[] =>
  Array.isArray(reply) ? (reply as readonly RedisReply[]) : []

const REFUSAL = /^[A-Z]{2,}[A-Z0-9]* /

function failure(error: unknown, place: string): MeshError {
  const message = error instanceof Error ? error.message : ''
  return REFUSAL.test(message)
    ? new MeshError('MESH_REDIS_REFUSED', message.slice(0, 200), { place })
    : new MeshError('MESH_REDIS_UNAVAILABLE', `Redis does not answer${tlsReason(error)}`, { place, cause: error })
}

/** What OpenSSL and Node call the trouble with certificates: it cannot be guessed from the outside. */
function tlsReason(error: unknown): string {
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' && /CERT|SSL|TLS|SIGNED|SIGNATURE/.test(code) ? `: TLS fails (${code})` : ''
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
