import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { afterEach, expect, test } from 'vitest'
import { createGuardedHttp, type GuardedHttp, type GuardedHttpOptions } from '../../../src/runtime/guarded-http.ts'

const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const each of open.splice(0)) await each.close()
})

async function serve(listener: RequestListener): Promise<{ url: string; port: number; server: Server }> {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  open.push({
    close() {
      server.closeAllConnections()
      server.close()
    },
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, server }
}

function client(options: Partial<GuardedHttpOptions> & { ports: readonly number[] }): GuardedHttp {
  const http = createGuardedHttp({ allowedCidrs: ['127.0.0.0/8'], ...options })
  open.push(http)
  return http
}

const LIMITS = { method: 'GET', timeoutMs: 50_000, maxBytes: 100_000 } as const
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8')

test('an answer comes decoded, whatever its encoding', async () => {
  const body = JSON.stringify({ text: 'ü'.repeat(1000) })
  const { url, port } = await serve((request, response) => {
    if (request.url === '/br') response.setHeader('content-encoding', 'br').end(brotliCompressSync(body))
    else if (request.url === '/gzip') response.setHeader('content-encoding', 'gzip').end(gzipSync(body))
    else response.end(body)
  })
  const http = client({ ports: [port] })
  for (const path of ['/br', '/gzip', '/plain']) {
    const answer = await http.request({ ...LIMITS, url: url + path })
    expect(answer.status).toBe(200)
    expect(text(answer.body)).toBe(body)
  }
})

test('an address of this machine is refused unless its network is allowed, and nothing connects', async () => {
  let connections = 0
  const { url, port, server } = await serve((_request, response) => response.end())
  server.on('connection', () => connections++)
  const http = client({ ports: [port], allowedCidrs: [] })
  for (const host of ['127.0.0.1', '0x7f.1', '2130706433', '[::ffff:127.0.0.1]']) {
    await expect(http.request({ ...LIMITS, url: `http://${host}:${port}/` })).rejects.toMatchObject({
      code: 'MESH_HTTP_TARGET_REFUSED',
    })
  }
  expect(connections).toBe(0)
  expect((await client({ ports: [port] }).request({ ...LIMITS, url })).status).toBe(200)
})

test('a name is judged by the address that is connected to, each time it is resolved', async () => {
  const { port } = await serve((_request, response) => response.setHeader('connection', 'close').end('ok'))
  const answers = ['127.0.0.1', '169.254.169.254']
  const asked: string[] = []
  const http = client({
    ports: [port],
    lookup: async (hostname) => {
      asked.push(hostname)
      return [{ address: answers.shift() ?? '10.0.0.1', family: 4 }]
    },
  })
  const url = `http://rebinding.example:${port}/`
  expect((await http.request({ ...LIMITS, url })).status).toBe(200)
  await expect(http.request({ ...LIMITS, url })).rejects.toMatchObject({
    code: 'MESH_HTTP_TARGET_REFUSED',
    message: 'its address is link-local',
  })
  expect(asked).toEqual(['rebinding.example', 'rebinding.example'])
})

test('of a name with several addresses only the allowed ones are tried', async () => {
  const { port } = await serve((_request, response) => response.end('ok'))
  const http = client({
    ports: [port],
    lookup: async () => [
      { address: '10.0.0.1', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ],
  })
  expect((await http.request({ ...LIMITS, url: `http://both.example:${port}/` })).status).toBe(200)
})

test('a redirect is judged like the first address, and their number is bounded', async () => {
  const { url, port } = await serve((request, response) => {
    const to = { '/private': 'http://10.0.0.1/', '/port': 'http://127.0.0.1:1/', '/loop': '/loop' }[request.url ?? '']
    if (to === undefined) response.end('here')
    else response.writeHead(302, { location: to }).end()
  })
  const http = client({ ports: [port, 80] })
  await expect(http.request({ ...LIMITS, url: `${url}/private` })).rejects.toMatchObject({
    code: 'MESH_HTTP_TARGET_REFUSED',
  })
  await expect(http.request({ ...LIMITS, url: `${url}/port` })).rejects.toMatchObject({
    code: 'MESH_HTTP_TARGET_REFUSED',
    message: 'port 1 is not among the allowed ones',
  })
  await expect(http.request({ ...LIMITS, url: `${url}/loop` })).rejects.toMatchObject({ code: 'MESH_HTTP_REDIRECT' })
})

test('credentials and bodies stay with their origin', async () => {
  const seen: (string | undefined)[] = []
  const other = await serve((request, response) => {
    seen.push(request.headers.authorization, request.headers['x-key'] as string | undefined)
    response.end('there')
  })
  const first = await serve((request, response) => {
    if (request.url === '/same') response.writeHead(302, { location: '/end' }).end()
    else if (request.url === '/end') {
      seen.push(request.headers.authorization)
      response.end('here')
    } else response.writeHead(307, { location: `${other.url}/` }).end()
  })
  const http = client({ ports: [first.port, other.port] })
  const headers = { authorization: 'Bearer s', 'x-key': 's' }
  await http.request({ ...LIMITS, url: `${first.url}/same`, headers })
  await http.request({ ...LIMITS, url: `${first.url}/away`, headers })
  expect(seen).toEqual(['Bearer s', undefined, undefined])
  await expect(
    http.request({ ...LIMITS, method: 'POST', url: `${first.url}/away`, headers, body: '{}' }),
  ).rejects.toMatchObject({ code: 'MESH_HTTP_REDIRECT' })
})

test('a body that unfolds beyond the bound ends there, and the connection with it', async () => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))
  const { url, port } = await serve((_request, response) => {
    response.setHeader('content-encoding', 'gzip').end(bomb)
  })
  const http = client({ ports: [port] })
  await expect(http.request({ ...LIMITS, url })).rejects.toMatchObject({ code: 'MESH_HTTP_TOO_LARGE' })
  await expect(http.request({ ...LIMITS, maxBytes: 2 ** 30, url })).rejects.toMatchObject({
    code: 'MESH_HTTP_TOO_LARGE',
    message: 'the answer unfolds to more than 100 times its size',
  })
})

test('a body without end ends at the bound, a slow one at the time cap', async () => {
  const { url, port } = await serve((request, response) => {
    const timer = setInterval(() => response.write(request.url === '/slow' ? '.' : '.'.repeat(50_000)), 5)
    response.on('close', () => clearInterval(timer))
  })
  const http = client({ ports: [port] })
  await expect(http.request({ ...LIMITS, url: `${url}/endless` })).rejects.toMatchObject({
    code: 'MESH_HTTP_TOO_LARGE',
  })
  await expect(http.request({ ...LIMITS, timeoutMs: 100, url: `${url}/slow` })).rejects.toMatchObject({
    code: 'MESH_HTTP_TIMEOUT',
  })
})

test('a server that never answers meets the time cap; one that is not there is told as such', async () => {
  const { url, port, server } = await serve(() => {})
  const http = client({ ports: [port] })
  await expect(http.request({ ...LIMITS, timeoutMs: 100, url })).rejects.toMatchObject({ code: 'MESH_HTTP_TIMEOUT' })
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
  await expect(http.request({ ...LIMITS, url })).rejects.toMatchObject({ code: 'MESH_HTTP_UNREACHABLE' })
})

test('broken and unknown encodings are told apart from broken connections', async () => {
  const { url, port } = await serve((request, response) => {
    if (request.url === '/cut')
      response.setHeader('content-encoding', 'gzip').end(gzipSync('x'.repeat(999)).subarray(0, 20))
    else if (request.url === '/odd') response.setHeader('content-encoding', 'gzip, gzip').end(gzipSync(gzipSync('x')))
    else {
      response.writeHead(200, { 'content-length': '100' })
      response.write('half')
      setImmediate(() => response.destroy())
    }
  })
  const http = client({ ports: [port] })
  await expect(http.request({ ...LIMITS, url: `${url}/cut` })).rejects.toMatchObject({ code: 'MESH_HTTP_ENCODING' })
  await expect(http.request({ ...LIMITS, url: `${url}/odd` })).rejects.toMatchObject({ code: 'MESH_HTTP_ENCODING' })
  await expect(http.request({ ...LIMITS, url: `${url}/broken` })).rejects.toMatchObject({
    code: 'MESH_HTTP_UNREACHABLE',
  })
})

test('no message holds a credential or a query', async () => {
  const http = client({ ports: [80] })
  for (const url of [
    'http://user:hunter2@10.0.0.1/?token=hunter2',
    'http://10.0.0.1:81/?token=hunter2',
    'ftp://x/hunter2?',
  ]) {
    const error = await http
      .request({ ...LIMITS, url })
      .catch((thrown: unknown) => thrown as Error & { place?: string })
    expect(error).toMatchObject({ code: 'MESH_HTTP_TARGET_REFUSED' })
    expect(`${String((error as Error).message)}`).not.toContain('hunter2')
  }
})

test('a proxy of the environment is not used', async () => {
  const { url, port } = await serve((_request, response) => response.end('direct'))
  const before = { ...process.env }
  Object.assign(process.env, {
    HTTP_PROXY: 'http://127.0.0.1:9',
    http_proxy: 'http://127.0.0.1:9',
    NODE_USE_ENV_PROXY: '1',
  })
  try {
    expect(text((await client({ ports: [port] }).request({ ...LIMITS, url })).body)).toBe('direct')
  } finally {
    for (const name of ['HTTP_PROXY', 'http_proxy', 'NODE_USE_ENV_PROXY']) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
  }
})
