import { createServer, request } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { probeConditionalWrites } from '../../../src/lake/conditional-writes.ts'
import { openObjectStore } from '../../../src/lake/open-object-store.ts'
import { createS3ObjectStore } from '../../../src/lake/s3-object-store.ts'
import { describeObjectStore, keysUnder } from '../../../src/testing/object-store-contract.ts'
import { type S3Server, startVersitygw } from '../../../src/testing/versitygw.ts'

const SETUP_MS = 600_000
let server: S3Server
beforeAll(async () => {
  server = await startVersitygw()
}, SETUP_MS)
afterAll(async () => {
  await server?.close()
})

describeObjectStore('S3', async () => ({
  store: createS3ObjectStore({ ...server.settings, bucket: server.bucket, prefix: 'contract' }),
  close: async () => {},
}))

describe('S3 object store', () => {
  it('keeps to its prefix', async () => {
    const store = openObjectStore({ url: `s3://${server.bucket}/deep/er/`, s3: server.settings })
    const whole = openObjectStore({ url: `s3://${server.bucket}`, s3: server.settings })
    await store.create('a/b', Buffer.from('x'))
    expect(await keysUnder(store, '')).toEqual(['a/b'])
    expect(await keysUnder(whole, 'deep/')).toEqual(['deep/er/a/b'])
  })

  it('passes the probe of conditional writes', async () => {
    const store = createS3ObjectStore({ ...server.settings, bucket: server.bucket, prefix: '' })
    await probeConditionalWrites(store, 'probe-1')
    expect(await keysUnder(store, 'probes/')).toEqual([])
  })

  it('recognises its own write when the answer was lost and the repeat is refused', async () => {
    const proxy = await startLossyProxy(server.settings.endpoint!)
    try {
      const options = { ...server.settings, bucket: server.bucket, prefix: 'lossy' }
      const store = createS3ObjectStore({ ...options, endpoint: proxy.endpoint })
      expect(await store.create('a/b', Buffer.from('mine'))).toBe('created')
      expect(proxy.lost()).toBe(1)
      expect(await store.create('a/b', Buffer.from('mine'))).toBe('exists')
    } finally {
      await proxy.close()
    }
  })

  it('reports wrong credentials and a missing bucket as the lake being unavailable', async () => {
    const wrong = { accessKeyId: 'test', secretAccessKey: 'wrong' }
    const refused = createS3ObjectStore({ ...server.settings, credentials: wrong, bucket: server.bucket, prefix: '' })
    const missing = createS3ObjectStore({ ...server.settings, bucket: 'no-such-bucket', prefix: '' })
    for (const store of [refused, missing]) {
      await expect(store.create('a/b', Buffer.from('x'))).rejects.toMatchObject({ code: 'MESH_LAKE_UNAVAILABLE' })
      await expect(store.get('a/b')).rejects.toMatchObject({ code: 'MESH_LAKE_UNAVAILABLE' })
    }
  })
})

/** Forwards everything, and cuts the connection instead of the first successful answer to a PUT. */
async function startLossyProxy(
  target: string,
): Promise<{ endpoint: string; lost: () => number; close(): Promise<void> }> {
  let lost = 0
  const { hostname, port } = new URL(target)
  const proxy = createServer((incoming, outgoing) => {
    const { method, url: path, headers } = incoming
    const onward = request({ hostname, port, method, path, headers }, (answer) => {
      if (method === 'PUT' && answer.statusCode === 200 && lost === 0) {
        lost++
        answer.resume()
        incoming.socket.destroy()
        return
      }
      outgoing.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(outgoing)
    })
    incoming.pipe(onward)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const address = proxy.address() as { port: number }
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    lost: () => lost,
    close: () =>
      new Promise<void>((resolve) => {
        proxy.closeAllConnections()
        proxy.close(() => resolve())
      }),
  }
}
