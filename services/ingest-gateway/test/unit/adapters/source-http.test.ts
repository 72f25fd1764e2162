import { once } from 'node:events'
import { copyFileSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import type { HttpSource } from '@mesh/shared/core/source'
import { createGuardedHttp, type GuardedHttp, type GuardedHttpOptions } from '@mesh/shared/runtime/guarded-http'
import { makeClientFiles, makeTlsFiles, type TlsFiles } from '@mesh/shared/testing/tls-files'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createSourceHttp } from '../../../src/adapters/source-http.ts'
import { HTTP_SOURCE } from '../../support/polling-gateway.ts'

let folder: string
let tls: TlsFiles
let own: { cert: string; key: string }
let asking: { server: Server; url: string; port: number }
let elsewhere: typeof asking
/** Who the client of each request was, as its certificate says it. */
const shown: string[] = []
const opened: GuardedHttp[] = []

/** A real server; `asks` turns away who has no certificate of the authority. */
async function serve(asks: boolean): Promise<typeof asking> {
  const server = createServer(
    {
      cert: readFileSync(tls.cert),
      key: readFileSync(tls.key),
      ca: readFileSync(tls.ca),
      requestCert: true,
      rejectUnauthorized: asks,
    },
    (request, response) => {
      shown.push(((request.socket as TLSSocket).getPeerCertificate().subject?.CN as string | undefined) ?? 'nobody')
      if (request.url === '/away') response.writeHead(302, { location: `${elsewhere.url}/` }).end()
      else response.end('[]')
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { server, url: `https://127.0.0.1:${port}`, port }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mesh-http-cert-'))
  tls = makeTlsFiles(folder)
  own = makeClientFiles(folder, 'mesh')
  asking = await serve(true)
  elsewhere = await serve(false)
})
afterAll(async () => {
  for (const http of opened) await http.close()
  for (const { server } of [asking, elsewhere]) {
    server.closeAllConnections()
    server.close()
  }
  await rm(folder, { recursive: true, force: true })
})

function http(changes: Partial<HttpSource>, more: Partial<GuardedHttpOptions> = {}): Pick<GuardedHttp, 'request'> {
  const outbound = { allowedCidrs: ['127.0.0.0/8'], ports: [asking.port, elsewhere.port], ...more }
  const open = (options: GuardedHttpOptions): GuardedHttp => {
    const one = createGuardedHttp(options)
    opened.push(one)
    return one
  }
  return createSourceHttp({
    source: { ...HTTP_SOURCE, url: asking.url, ...changes },
    shared: open(outbound),
    open: (identity) => open({ ...outbound, identity }),
    readSecret: async (reference) => readFileSync(reference.slice('file:'.length), 'utf8'),
  })
}

const LIMITS = { method: 'GET', timeoutMs: 5000, maxBytes: 1000 } as const
const pems = (): Partial<HttpSource> => ({ ca: `file:${tls.ca}`, cert: `file:${own.cert}`, key: `file:${own.key}` })
const ask = async (client: Pick<GuardedHttp, 'request'>, path = '/'): Promise<number> =>
  (await client.request({ ...LIMITS, url: asking.url + path })).status

test('a server that asks for a certificate is shown the one of the source', async () => {
  shown.length = 0
  expect(await ask(http(pems()))).toBe(200)
  expect(shown).toEqual(['mesh'])
})

test('without a certificate, with another authority, or with a key of another certificate nothing is read, and it is told', async () => {
  const other = makeTlsFiles(join(folder, 'other'))
  const { cert: _cert, key: _key, ...bare } = pems()
  // This server hangs up without a word, once the client believes that the handshake is over.
  await expect(ask(http(bare))).rejects.toMatchObject({ code: 'MESH_HTTP_UNREACHABLE' })
  for (const changes of [
    { ...pems(), ca: `file:${other.ca}` },
    { ...pems(), key: `file:${tls.key}` },
  ]) {
    await expect(ask(http(changes))).rejects.toMatchObject({ code: 'MESH_HTTP_TLS' })
  }
})

test('another origin that a redirect leads to is not shown it', async () => {
  shown.length = 0
  // The other origin's authority is not the source's either: it must be one that the whole process trusts.
  expect(await ask(http(pems(), { ca: readFileSync(tls.ca, 'utf8') }), '/away')).toBe(200)
  expect(shown).toEqual(['mesh', 'nobody'])
  await expect(ask(http(pems()), '/away')).rejects.toMatchObject({ code: 'MESH_HTTP_TLS' })
})

test('a certificate that was renewed in its file is shown without a restart', async () => {
  shown.length = 0
  const next = makeClientFiles(folder, 'renewed')
  const files = { cert: join(folder, 'now.crt'), key: join(folder, 'now.key') }
  const put = (from: typeof own): void => {
    copyFileSync(from.cert, files.cert)
    copyFileSync(from.key, files.key)
  }
  put(own)
  const client = http({ ca: `file:${tls.ca}`, cert: `file:${files.cert}`, key: `file:${files.key}` })
  await ask(client)
  put(next)
  await ask(client)
  expect(shown).toEqual(['mesh', 'renewed'])
})

test('a source that has neither is read over the connections that all share', async () => {
  const before = opened.length
  const { ca: _ca, cert: _cert, key: _key, ...plain } = pems()
  const client = http(plain, { ca: readFileSync(tls.ca, 'utf8') })
  expect((await client.request({ ...LIMITS, url: elsewhere.url })).status).toBe(200)
  expect(opened.length).toBe(before + 1)
})
