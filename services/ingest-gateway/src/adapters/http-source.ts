import { setTimeout as delay } from 'node:timers/promises'
import { MeshError } from '@mesh/shared/core/errors'
import { at } from '@mesh/shared/core/json-pointer'
import { parseJson } from '@mesh/shared/core/json-text'
import type { HttpAuth, HttpSource } from '@mesh/shared/core/source'
import type { GuardedHttp } from '@mesh/shared/runtime/guarded-http'
import type { PageAnswer } from '../core/poll/answer.ts'
import type { PageRequest } from '../core/poll/request.ts'
import type { ReadSecret } from '../core/ports.ts'

export type HttpSourceOptions = {
  readonly source: HttpSource
  readonly http: Pick<GuardedHttp, 'request'>
  readonly readSecret: ReadSecret
  readonly now: () => number
}

/** A source's server, spoken to with its credential and within its limits. All polls of a source share one: the limits are the server's. */
export type HttpEndpoint = {
  /** @throws MeshError as GuardedHttp.request; MESH_SECRET_MISSING, MESH_POLL_AUTH where no token is given. */
  ask(request: PageRequest, signal: AbortSignal): Promise<PageAnswer>
}

const TOKEN_MAX_BYTES = 65_536
/** A token is renewed this long before it ends. */
const TOKEN_MARGIN_MS = 30_000
const DEFAULT_TOKEN_MS = 300_000

export function createHttpEndpoint(options: HttpSourceOptions): HttpEndpoint {
  const { source, http, now } = options
  const enter = createGate(source.limits, now)
  let token: { readonly text: string; readonly until: number } | null = null

  async function ask(request: PageRequest, signal: AbortSignal): Promise<PageAnswer> {
    const leave = await enter(signal)
    try {
      const answer = await send(request, signal)
      if (answer.status !== 401 || token === null) return answer
      // The server has given up the token before its time.
      token = null
      return await send(request, signal)
    } finally {
      leave()
    }
  }

  async function send(request: PageRequest, signal: AbortSignal): Promise<PageAnswer> {
    const { url, headers } = await withCredential(request, signal)
    return http.request({
      url,
      method: request.method,
      headers: { 'user-agent': 'kappa-mesh', ...headers },
      ...(request.body === null ? {} : { body: request.body }),
      timeoutMs: source.timeoutMs,
      maxBytes: source.maxBytes,
      signal,
    })
  }

  async function withCredential(
    { url, headers }: PageRequest,
    signal: AbortSignal,
  ): Promise<Pick<PageRequest, 'url' | 'headers'>> {
    const { auth } = source
    switch (auth?.type) {
      case undefined:
        return { url, headers }
      case 'bearer':
        return { url, headers: { ...headers, authorization: `Bearer ${await secret(auth.token)}` } }
      case 'basic': {
        const pair = `${await text(auth.user)}:${await secret(auth.password)}`
        return { url, headers: { ...headers, authorization: `Basic ${Buffer.from(pair).toString('base64')}` } }
      }
      case 'header':
        return { url, headers: { ...headers, [auth.name.toLowerCase()]: await secret(auth.value) } }
      case 'query': {
        const target = new URL(url)
        target.searchParams.set(auth.name, await secret(auth.value))
        return { url: target.href, headers }
      }
      case 'oauth2':
        return { url, headers: { ...headers, authorization: `Bearer ${await bearer(auth, signal)}` } }
    }
  }

  /** Client credentials grant (RFC 6749 §4.4). */
  async function bearer(auth: Extract<HttpAuth, { type: 'oauth2' }>, signal: AbortSignal): Promise<string> {
    if (token !== null && token.until > now()) return token.text
    const pair = `${encodeURIComponent(await text(auth.clientId))}:${encodeURIComponent(await secret(auth.clientSecret))}`
    const form = new URLSearchParams({ grant_type: 'client_credentials' })
    if (auth.scope !== null) form.set('scope', auth.scope)
    const answer = await http.request({
      url: await text(auth.tokenUrl),
      method: 'POST',
      headers: {
        accept: 'application/json',
        authorization: `Basic ${Buffer.from(pair).toString('base64')}`,
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: form.toString(),
      timeoutMs: source.timeoutMs,
      maxBytes: TOKEN_MAX_BYTES,
      maxRedirects: 0,
      signal,
    })
    if (answer.status !== 200) throw noToken(`the token endpoint answers ${answer.status}`)
    const given = parseJson(answer.body, { code: 'MESH_POLL_AUTH' })
    const access = at(given, '/access_token')
    if (typeof access !== 'string' || access === '') throw noToken('the token endpoint gives no access_token')
    const lives = Number(at(given, '/expires_in') ?? Number.NaN) * 1000
    const life = Number.isFinite(lives) ? lives : DEFAULT_TOKEN_MS
    token = { text: access, until: now() + Math.max(life - TOKEN_MARGIN_MS, life / 2) }
    return access
  }

  async function secret(reference: string): Promise<string> {
    const value = await options.readSecret(reference)
    if (value === null) throw new MeshError('MESH_SECRET_MISSING', `${reference} holds nothing`, { place: source.name })
    return value
  }

  const text = (value: string): string | Promise<string> => (value.startsWith('env:') ? secret(value) : value)

  return { ask }
}

const noToken = (text: string): MeshError => new MeshError('MESH_POLL_AUTH', text)

/** Lets requests in one after another at the source's pace; the returned function lets the next one in. */
function createGate(
  { requestsPerMinute, concurrency }: HttpSource['limits'],
  now: () => number,
): (signal: AbortSignal) => Promise<() => void> {
  const distance = requestsPerMinute === null ? 0 : 60_000 / requestsPerMinute
  const queue: (() => void)[] = []
  let busy = 0
  let next = 0

  function leave(): void {
    busy--
    queue.shift()?.()
  }

  return async function enter(signal) {
    while (busy >= concurrency) {
      const turn = Promise.withResolvers<void>()
      const giveUp = (): void => turn.reject(signal.reason as Error)
      queue.push(turn.resolve)
      signal.addEventListener('abort', giveUp, { once: true })
      try {
        await turn.promise
      } finally {
        signal.removeEventListener('abort', giveUp)
        // Who has given up must not be the one that is called next.
        const place = queue.indexOf(turn.resolve)
        if (place >= 0) queue.splice(place, 1)
      }
      signal.throwIfAborted()
    }
    busy++
    const at = Math.max(now(), next)
    next = at + distance
    try {
      if (at > now()) await delay(at - now(), undefined, { signal })
    } catch (error) {
      leave()
      throw error
    }
    return leave
  }
}
