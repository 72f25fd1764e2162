import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { HttpAuth, HttpSource } from '@mesh/shared/core/source'
import { createGuardedHttp } from '@mesh/shared/runtime/guarded-http'
import { until } from '@mesh/shared/testing/until'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createHttpEndpoint, type HttpEndpoint } from '../../../src/adapters/http-source.ts'
import type { PageRequest } from '../../../src/core/poll/request.ts'
import { HTTP_SOURCE } from '../../support/polling-gateway.ts'

type Seen = { readonly url: string; readonly headers: IncomingMessage['headers']; readonly body: string; at: number }

const SECRETS: Readonly<Record<string, string>> = {
  'env:TOKEN': 't0ken',
  'env:USER': 'jo',
  'env:PASSWORD': 'pass:word',
  'env:CLIENT': 'client id',
  'env:CLIENT_SECRET': 's&cret',
}
const never = new AbortController().signal

let seen: Seen[]
let answer: (request: Seen, response: ServerResponse) => void
let url: string
let now: number
let stop: () => Promise<void>
let endpointOf: (changes: Partial<HttpSource>) => HttpEndpoint
let request: PageRequest

beforeEach(async () => {
  seen = []
  now = Date.UTC(2026, 0, 1)
  answer = (_request, response) => void response.end('[]')
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const { url: path = '', headers } = incoming
      const one = { url: path, headers, body: Buffer.concat(chunks).toString(), at: performance.now() }
      seen.push(one)
      answer(one, response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  url = `http://127.0.0.1:${port}`
  request = { method: 'GET', url: `${url}/things?a=1`, headers: { accept: 'application/json' }, body: null }
  const http = createGuardedHttp({ allowedCidrs: ['127.0.0.0/8'], ports: [port] })
  endpointOf = (changes) =>
    createHttpEndpoint({
      source: { ...HTTP_SOURCE, url, ...changes },
      http,
      readSecret: async (reference) => SECRETS[reference] ?? null,
      now: () => now,
    })
  stop = async () => {
    await http.close()
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
})
afterEach(() => stop())

const ask = (auth: HttpAuth): Promise<unknown> => endpointOf({ auth }).ask(request, never)

describe('the credential of a source', () => {
  test('bearer', async () => {
    await ask({ type: 'bearer', token: 'env:TOKEN' })
    expect(seen[0]?.headers.authorization).toBe('Bearer t0ken')
  })

  test('basic, whatever the password holds', async () => {
    await ask({ type: 'basic', user: 'env:USER', password: 'env:PASSWORD' })
    const [scheme, pair] = (seen[0]?.headers.authorization ?? '').split(' ')
    expect([scheme, Buffer.from(pair ?? '', 'base64').toString()]).toEqual(['Basic', 'jo:pass:word'])
  })

  test('a header of its own name', async () => {
    await ask({ type: 'header', name: 'X-Api-Key', value: 'env:TOKEN' })
    expect(seen[0]?.headers['x-api-key']).toBe('t0ken')
  })

  test('a query parameter beside those that are there', async () => {
    await ask({ type: 'query', name: 'key', value: 'env:CLIENT_SECRET' })
    expect(Object.fromEntries(new URL(seen[0]!.url, url).searchParams)).toEqual({ a: '1', key: 's&cret' })
  })

  test('one that is not there is named, and nothing is asked', async () => {
    await expect(ask({ type: 'bearer', token: 'env:NOWHERE' })).rejects.toMatchObject({ code: 'MESH_SECRET_MISSING' })
    expect(seen).toEqual([])
  })
})

describe('OAuth 2 client credentials', () => {
  let auth: HttpAuth
  let tokens: number
  let accepts: (authorization: string) => boolean

  beforeEach(() => {
    auth = {
      type: 'oauth2',
      tokenUrl: `${url}/token`,
      clientId: 'env:CLIENT',
      clientSecret: 'env:CLIENT_SECRET',
      scope: 'read things',
    }
    tokens = 0
    accepts = () => true
    answer = ({ url: path, headers }, response) => {
      if (path === '/token') response.end(JSON.stringify({ access_token: `token-${++tokens}`, expires_in: 600 }))
      else response.writeHead(accepts(headers.authorization ?? '') ? 200 : 401).end('[]')
    }
  })

  test('a token is asked for as RFC 6749 has it, and used until shortly before its end', async () => {
    const endpoint = endpointOf({ auth })
    await endpoint.ask(request, never)
    const [asked] = seen
    const pair = Buffer.from((asked?.headers.authorization ?? '').split(' ')[1] ?? '', 'base64').toString()
    expect(pair.split(':').map(decodeURIComponent)).toEqual(['client id', 's&cret'])
    expect(Object.fromEntries(new URLSearchParams(asked?.body))).toEqual({
      grant_type: 'client_credentials',
      scope: 'read things',
    })
    now += 560_000
    await endpoint.ask(request, never)
    now += 20_000
    await endpoint.ask(request, never)
    const used = seen.filter(({ url: path }) => path !== '/token').map(({ headers }) => headers.authorization)
    expect(used).toEqual(['Bearer token-1', 'Bearer token-1', 'Bearer token-2'])
  })

  test('a token that the server gives up before its time is renewed once', async () => {
    const endpoint = endpointOf({ auth })
    await endpoint.ask(request, never)
    accepts = (authorization) => authorization === 'Bearer token-2'
    expect((await endpoint.ask(request, never)).status).toBe(200)
    accepts = () => false
    expect((await endpoint.ask(request, never)).status).toBe(401)
    expect(tokens).toBe(3)
  })

  test.each([
    [401, '{"error":"invalid_client"}', 'MESH_POLL_AUTH'],
    [200, '{"token":"s"}', 'MESH_POLL_AUTH'],
    [200, '<html>', 'MESH_POLL_AUTH'],
    [302, '', 'MESH_HTTP_REDIRECT'],
  ])('a token endpoint that answers %i %s gives %s, and no page is asked', async (status, body, code) => {
    answer = (_request, response) => void response.writeHead(status, { location: `${url}/elsewhere` }).end(body)
    const failed = await endpointOf({ auth })
      .ask(request, never)
      .catch((error: unknown) => error)
    expect(failed).toMatchObject({ code })
    expect(String(failed)).not.toContain('s&cret')
    expect(seen.map(({ url: path }) => path)).toEqual(['/token'])
  })
})

describe('the limits of a source', () => {
  test('requests of all its polls keep their distance', async () => {
    const startedAt = performance.now()
    const endpoint = endpointOf({ limits: { requestsPerMinute: 600, concurrency: 3 } })
    await Promise.all([1, 2, 3].map(() => endpoint.ask(request, never)))
    for (const [i, { at }] of seen.entries()) expect(at - startedAt).toBeGreaterThan(i * 100 - 5)
  })

  test('no more are under way than may be, and one that gives up while it waits holds up nobody', async () => {
    const open: ServerResponse[] = []
    answer = (_request, response) => void open.push(response)
    const endpoint = endpointOf({ limits: { requestsPerMinute: null, concurrency: 1 } })
    const first = endpoint.ask(request, never)
    await until(() => open.length === 1, 'the first request')
    const giving = new AbortController()
    const second = endpoint.ask(request, giving.signal).catch(() => 'gave up')
    const third = endpoint.ask(request, never)
    giving.abort(new Error('no longer wanted'))
    expect(await second).toBe('gave up')
    expect(open).toHaveLength(1)
    open[0]!.end('[]')
    await first
    await until(() => open.length === 2, 'the third request')
    open[1]!.end('[]')
    expect((await third).status).toBe(200)
    expect(seen).toHaveLength(2)
  })
})
