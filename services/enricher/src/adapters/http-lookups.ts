import { createHash } from 'node:crypto'
import type { LookupRule } from '@mesh/shared/core/contract'
import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import { parseJson } from '@mesh/shared/core/json-text'
import { createGuardedHttp, type GuardedHttp, type GuardedResponse } from '@mesh/shared/runtime/guarded-http'
import type { Answer } from '../core/lookups.ts'
import type { MemoryBudget } from '../core/memory-budget.ts'

export type HttpLookups = {
  /** At once from the cache, else when the other side has answered. Never rejects for what the other side does. */
  readonly look: (rule: LookupRule, url: string) => Answer | Promise<Answer>
  close(): Promise<void>
}

export type HttpLookupsDeps = {
  /** For cached answers; what has no room is asked for again. */
  readonly budget: MemoryBudget
  /** The value behind `env:NAME` or `file:/path`; null when there is none. */
  readonly readSecret: (reference: string) => Promise<string | null>
  /** ms since the epoch. */
  readonly now: () => number
}

const MAX_BODY_BYTES = 1_048_576
const MAX_ENTRIES = 100_000
/** An object takes about so many times its JSON, and an entry so many bytes more. */
const OBJECT_FACTOR = 5
const ENTRY_BYTES = 400

type Cached = { readonly answer: Answer; readonly until: number; readonly bytes: number }
type Client = {
  readonly http: GuardedHttp
  running: number
  readonly queue: (() => void)[]
  /** Requests in a row that did not succeed, and when the last one ended. */
  failures: number
  failedAt: number
}

/** A side that failed so often in a row is left alone for so long: those who ask are told at once, and their keys are parked. */
const TRIP = { failures: 5, restMs: 1000 }

/** Declared lookups: each rule with its own limit of requests at a time, one request for all who ask for an address at once. */
export function createHttpLookups({ budget, readSecret, now }: HttpLookupsDeps): HttpLookups {
  // In order of use.
  const cache = new Map<string, Cached>()
  const asked = new Map<string, Promise<Answer>>()
  const clients = new Map<string, Client>()

  function look(rule: LookupRule, url: string): Answer | Promise<Answer> {
    const key = `${clientKey(rule)} ${url}`
    const held = cache.get(key)
    if (held !== undefined) {
      cache.delete(key)
      if (held.until > now()) {
        cache.set(key, held)
        return held.answer
      }
      budget.give(held.bytes)
    }
    const running = asked.get(key)
    if (running !== undefined) return running
    const answer = ask(rule, url).then(({ answer: found, bytes }) => {
      asked.delete(key)
      if (found.kind === 'found' || found.kind === 'missing') keep(key, found, rule.cacheMs, bytes)
      return found
    })
    asked.set(key, answer)
    return answer
  }

  function keep(key: string, answer: Answer, cacheMs: number, bodyBytes: number): void {
    if (cacheMs === 0) return
    const bytes = bodyBytes * OBJECT_FACTOR + key.length * 2 + ENTRY_BYTES
    while (cache.size >= MAX_ENTRIES || !budget.tryTake(bytes)) {
      const oldest = cache.entries().next()
      if (oldest.done) return
      cache.delete(oldest.value[0])
      budget.give(oldest.value[1].bytes)
    }
    cache.set(key, { answer, until: now() + cacheMs, bytes })
  }

  async function ask(rule: LookupRule, url: string): Promise<{ answer: Answer; bytes: number }> {
    const client = clientOf(rule)
    if (client.running >= rule.concurrency) await new Promise<void>((resolve) => client.queue.push(resolve))
    client.running++
    try {
      if (client.failures >= TRIP.failures && now() - client.failedAt < TRIP.restMs)
        return { answer: RESTING, bytes: 0 }
      const headers = await headersOf(rule)
      const { timeoutMs } = rule
      const response = await client.http.request({ url, method: 'GET', headers, timeoutMs, maxBytes: MAX_BODY_BYTES })
      const answer = answerOf(response, new Date(now()).toISOString())
      return { answer: noted(client, answer), bytes: response.body.byteLength }
    } catch (error) {
      return { answer: noted(client, failureOf(error)), bytes: 0 }
    } finally {
      client.running--
      client.queue.shift()?.()
    }
  }

  function noted(client: Client, answer: Answer): Answer {
    client.failures = answer.kind === 'transient' ? client.failures + 1 : 0
    client.failedAt = now()
    return answer
  }

  function clientOf(rule: LookupRule): Client {
    const key = clientKey(rule)
    const known = clients.get(key)
    if (known) return known
    const { protocol, port } = new URL(rule.url.replace(/\{[^{}]*\}/g, '0'))
    const ports = [port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port)]
    const client = {
      http: createGuardedHttp({ allowedCidrs: rule.allow, ports }),
      running: 0,
      queue: [],
      failures: 0,
      failedAt: 0,
    }
    clients.set(key, client)
    return client
  }

  async function headersOf(rule: LookupRule): Promise<Record<string, string>> {
    const headers: Record<string, string> = { accept: 'application/json' }
    for (const [name, value] of Object.entries(rule.headers)) {
      const secret = /^(env|file):/.test(value) ? await readSecret(value) : value
      if (secret === null) throw new MeshError('MESH_SECRET_MISSING', `${value} of the header ${name} is not set`)
      headers[name.toLowerCase()] = secret
    }
    return headers
  }

  return {
    look,
    async close() {
      for (const { http } of clients.values()) await http.close()
    },
  }
}

/** Rules that differ in nothing share client and answers, whichever stream they are of. */
const clientKey = ({ url, headers, allow, concurrency, timeoutMs }: LookupRule): string =>
  JSON.stringify([url, headers, allow, concurrency, timeoutMs])

function answerOf({ status, headers, body }: GuardedResponse, at: string): Answer {
  if (status === 404 || status === 410) return { kind: 'missing', version: `${status}@${at}` }
  if (status >= 200 && status < 300) return foundIn(body, headers['etag'], at)
  const message = `the answer is ${status}`
  // A credential that is not accepted is the operator's to mend, not the event's fault.
  const mayPass = status >= 500 || [401, 403, 408, 425, 429].includes(status)
  return mayPass
    ? { kind: 'transient', code: 'MESH_LOOKUP_FAILED', message }
    : { kind: 'refused', code: 'MESH_LOOKUP_REFUSED', message }
}

function foundIn(body: Uint8Array, etag: string | undefined, at: string): Answer {
  const refused = (message: string): Answer => ({ kind: 'refused', code: 'MESH_LOOKUP_REFUSED', message })
  let value: unknown
  try {
    value = parseJson(body, { code: 'MESH_LOOKUP_REFUSED' })
  } catch {
    return refused('the answer is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refused('the answer is no JSON object')
  // Percent-encoded: `mesh-joins` is a list with commas.
  const state =
    etag === undefined
      ? `sha256:${createHash('sha256').update(body).digest('hex').slice(0, 16)}`
      : `etag:${encodeURIComponent(etag)}`
  return { kind: 'found', value: deepFreeze(value as Record<string, unknown>), version: `${state}@${at}` }
}

const RESTING: Answer = {
  kind: 'transient',
  code: 'MESH_LOOKUP_FAILED',
  message: 'the last requests failed; it is left alone for a moment',
}

const FOR_GOOD = ['MESH_HTTP_TARGET_REFUSED', 'MESH_HTTP_TOO_LARGE', 'MESH_HTTP_ENCODING', 'MESH_HTTP_REDIRECT']

function failureOf(error: unknown): Answer {
  if (!isMeshError(error)) throw error
  const { code, message } = error
  return FOR_GOOD.includes(code)
    ? { kind: 'refused', code, message }
    : { kind: 'transient', code: 'MESH_LOOKUP_FAILED', message: `${code} ${message}` }
}

/** An answer is handed to refine.ts many times. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}
