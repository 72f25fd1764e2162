import { type LookupAddress, type LookupOptions, lookup as systemLookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { Agent, buildConnector, type Dispatcher, request } from 'undici'
import { compileAddressGuard } from '../core/address-guard.ts'
import { isMeshError, MeshError } from '../core/errors.ts'
import { readDecodedBody } from './decoded-body.ts'

export type GuardedHttpOptions = {
  /** CIDRs that may be reached although they are not public. */
  readonly allowedCidrs: readonly string[]
  readonly ports: readonly number[]
  /** PEM certificates trusted instead of the system's. */
  readonly ca?: string
  /** Holds for one origin and for no other that a redirect leads to. */
  readonly identity?: HttpIdentity
  /** All addresses of a name; the system's resolver when absent. */
  readonly lookup?: (hostname: string) => Promise<readonly LookupAddress[]>
}

/** PEMs. */
export type HttpIdentity = {
  /** As `URL.origin` has it. */
  readonly origin: string
  /** What the server's certificate is checked against, in place of the public ones. */
  readonly ca?: string
  /** Shown to a server that asks for a certificate. */
  readonly cert?: string
  readonly key?: string
}

export type GuardedRequest = {
  readonly url: string
  readonly method: 'GET' | 'POST'
  /** Lower-case names. They go to another origin on no redirect. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Of the whole exchange, redirects and body included. */
  readonly timeoutMs: number
  /** Bound of the decoded body. */
  readonly maxBytes: number
  /** Redirects that are followed; 0 = the first one is an error. Default 3. */
  readonly maxRedirects?: number
  readonly signal?: AbortSignal
}

export type GuardedResponse = {
  readonly status: number
  /** By lower-case name; a repeated one is joined with `, `. */
  readonly headers: Readonly<Record<string, string>>
  /** Decoded. */
  readonly body: Uint8Array
  /** Where it came from after redirects. */
  readonly url: string
}

export type GuardedHttp = {
  /**
   * @throws MeshError MESH_HTTP_TARGET_REFUSED, MESH_HTTP_UNREACHABLE, MESH_HTTP_TLS, MESH_HTTP_TIMEOUT, MESH_HTTP_TOO_LARGE,
   * MESH_HTTP_ENCODING, MESH_HTTP_REDIRECT. No message holds a query, a header or a body.
   */
  request(request: GuardedRequest): Promise<GuardedResponse>
  close(): Promise<void>
}

const ACCEPTED_ENCODINGS = 'gzip, br, deflate'
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
const CONNECT_TIMEOUT_MS = 10_000

/**
 * An HTTP client for addresses that users write into contracts and that other servers redirect to. Addresses are judged when the
 * connection is made, after the name was resolved, so that a name that changes its address in between gains nothing. Proxies of
 * the environment are not used.
 */
export function createGuardedHttp(options: GuardedHttpOptions): GuardedHttp {
  const refusal = compileAddressGuard(options.allowedCidrs)
  const resolve = options.lookup ?? resolveByTheSystem
  const { origin = null, ...shown } = options.identity ?? {}
  const connectorOf = (tls: buildConnector.BuildOptions): buildConnector.connector =>
    buildConnector({ lookup: guardedLookup, allowH2: false, timeout: CONNECT_TIMEOUT_MS, ...tls })
  const connectAny = connectorOf(options.ca === undefined ? {} : { ca: options.ca })
  const connectOwn = origin === null ? connectAny : connectorOf(shown)
  const agent = new Agent({
    // An address that is written into the URL is never looked up.
    connect(target, done) {
      const bare = target.hostname.replace(/^\[|\]$/g, '')
      const reason = isIP(bare) === 0 ? null : refusal(bare)
      const own = origin !== null && URL.parse(`${target.protocol}//${target.host ?? ''}`)?.origin === origin
      if (reason === null) (own ? connectOwn : connectAny)(target, done)
      else done(refused(target.hostname, `the address ${reason}`), null)
    },
    headersTimeout: 0,
    bodyTimeout: 0,
  })

  function guardedLookup(hostname: string, lookupOptions: LookupOptions, done: Parameters<LookupFunction>[2]): void {
    resolve(hostname).then(
      (addresses) => {
        const reachable = addresses.filter(({ address }) => refusal(address) === null)
        const first = reachable[0]
        if (first === undefined) {
          const reason = addresses[0] === undefined ? 'has no address' : refusal(addresses[0].address)
          done(refused(hostname, `its address ${reason}`), '', 0)
        } else if (lookupOptions.all) done(null, [...reachable])
        else done(null, first.address, first.family)
      },
      (error: NodeJS.ErrnoException) => done(error, '', 0),
    )
  }

  function checkTarget(url: URL): void {
    if (url.protocol !== 'https:' && url.protocol !== 'http:')
      throw refused(placeOf(url), 'only http and https are spoken')
    if (url.username !== '' || url.password !== '') throw refused(url.host, 'a URL must not hold a credential')
    const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port)
    if (!options.ports.includes(port)) throw refused(placeOf(url), `port ${port} is not among the allowed ones`)
  }

  async function exchange(guarded: GuardedRequest, signal: AbortSignal): Promise<GuardedResponse> {
    let hop: Hop = {
      url: parseUrl(guarded.url),
      method: guarded.method,
      headers: guarded.headers ?? {},
      body: guarded.body,
    }
    for (let redirects = 0; ; redirects++) {
      checkTarget(hop.url)
      const response = await request(hop.url, {
        dispatcher: agent,
        method: hop.method,
        headers: { ...hop.headers, 'accept-encoding': ACCEPTED_ENCODINGS },
        body: hop.body ?? null,
        signal,
      })
      // A body that is given up tells so by an error that has nobody to hear it.
      response.body.on('error', () => {})
      const headers = headersOf(response.headers)
      const location = headers['location']
      if (!REDIRECTS.has(response.statusCode) || location === undefined) {
        const body = await readDecodedBody(response.body, headers['content-encoding'], guarded.maxBytes)
        return { status: response.statusCode, headers, body, url: hop.url.href }
      }
      response.body.destroy()
      if (redirects >= (guarded.maxRedirects ?? 3)) throw redirect(hop.url, `more than ${redirects} redirects`)
      hop = nextHop(hop, response.statusCode, location)
    }
  }

  return {
    async request(guarded) {
      const timeout = AbortSignal.timeout(guarded.timeoutMs)
      const signal = guarded.signal ? AbortSignal.any([timeout, guarded.signal]) : timeout
      try {
        return await exchange(guarded, signal)
      } catch (error) {
        if (isMeshError(error)) throw error
        if (isMeshError((error as Error).cause)) throw (error as Error).cause
        const place = placeOf(parseUrl(guarded.url))
        if (timeout.aborted) {
          throw new MeshError('MESH_HTTP_TIMEOUT', `no whole answer within ${guarded.timeoutMs} ms`, { place })
        }
        throw unreachable(error, place)
      }
    },
    // Not `close`: it would wait for an answer that may never end.
    close: () => agent.destroy(),
  }
}

type Hop = {
  readonly url: URL
  readonly method: 'GET' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

/** What RFC 9110 §15.4 says of methods; and nothing of ours, credentials least of all, goes to another origin. */
function nextHop(hop: Hop, status: number, location: string): Hop {
  const url = URL.parse(location, hop.url.href)
  if (url === null) throw redirect(hop.url, 'the redirect leads to no URL')
  if (hop.url.protocol === 'https:' && url.protocol === 'http:') throw redirect(hop.url, 'the redirect gives up TLS')
  const keepsBody = status === 307 || status === 308
  const sameOrigin = url.origin === hop.url.origin
  if (!sameOrigin && keepsBody && hop.body !== undefined) {
    throw redirect(hop.url, `the body would go to another origin, ${url.origin}`)
  }
  const { accept, 'content-type': _type, ...others } = hop.headers
  const headers: Record<string, string> = sameOrigin ? (keepsBody ? hop.headers : others) : {}
  return {
    url,
    method: keepsBody ? hop.method : 'GET',
    headers: accept === undefined ? headers : { ...headers, accept },
    body: keepsBody ? hop.body : undefined,
  }
}

function resolveByTheSystem(hostname: string): Promise<readonly LookupAddress[]> {
  return new Promise((resolve, reject) => {
    systemLookup(hostname, { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses)))
  })
}

function headersOf(given: Dispatcher.ResponseData['headers']): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return headers
}

function parseUrl(text: string): URL {
  const url = URL.parse(text)
  if (url === null) throw new MeshError('MESH_HTTP_TARGET_REFUSED', 'the address is no URL')
  return url
}

const placeOf = (url: URL): string => `${url.protocol}//${url.host}${url.pathname}`

const refused = (place: string, reason: string): MeshError =>
  new MeshError('MESH_HTTP_TARGET_REFUSED', reason, { place })

const redirect = (from: URL, reason: string): MeshError =>
  new MeshError('MESH_HTTP_REDIRECT', reason, { place: placeOf(from) })

const TLS_CODE = /^(ERR_TLS_|ERR_SSL_|ERR_OSSL_|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|EPROTO)/

function unreachable(error: unknown, place: string): MeshError {
  const code = (error as { code?: string }).code ?? ''
  return TLS_CODE.test(code)
    ? new MeshError('MESH_HTTP_TLS', `no trusted TLS connection (${code})`, { place, cause: error })
    : new MeshError('MESH_HTTP_UNREACHABLE', `no answer (${code || 'the connection broke'})`, { place, cause: error })
}
