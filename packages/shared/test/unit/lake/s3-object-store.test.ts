import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { ObjectStore } from '../../../src/lake/object-store.ts'
import { createS3ObjectStore } from '../../../src/lake/s3-object-store.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void
const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** A store in front of a server that gives these answers, one per request, the last one for ever. */
async function storeAnswering(...answers: readonly Answer[]): Promise<{ store: ObjectStore; requests: string[] }> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url} ${request.headers['if-none-match'] ?? '-'}`)
    request.resume().on('end', () => answers[Math.min(requests.length, answers.length) - 1]!(request, response))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(() => resolve()))
  })
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const credentials = { accessKeyId: 'id', secretAccessKey: 'secret' }
  return { store: createS3ObjectStore({ endpoint, region: 'r', credentials, bucket: 'b', prefix: 'p' }), requests }
}

const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (_request, response) =>
    void response.writeHead(code, headers).end()
const problem =
  (code: number, name: string): Answer =>
  (_request, response) =>
    void response.writeHead(code, { 'content-type': 'application/xml' }).end(`<Error><Code>${name}</Code></Error>`)

describe('S3 create', () => {
  it('asks for a free key and repeats the request while conditional writes collide', async () => {
    const collision = problem(409, 'ConditionalRequestConflict')
    const { store, requests } = await storeAnswering(collision, collision, status(200))
    expect(await store.create('a/b', Buffer.from('x'))).toBe('created')
    expect(requests).toEqual(Array(3).fill('PUT /b/p/a/b?x-id=PutObject *'))
  })

  it('gives up on collisions that do not end', async () => {
    const { store, requests } = await storeAnswering(problem(409, 'ConditionalRequestConflict'))
    await expect(store.create('a/b', Buffer.from('x'))).rejects.toMatchObject({ code: 'MESH_LAKE_UNAVAILABLE' })
    expect(requests).toHaveLength(6)
  })

  it('does not repeat another conflict', async () => {
    const { store, requests } = await storeAnswering(problem(409, 'ObjectParentIsFile'))
    await expect(store.create('a/b', Buffer.from('x'))).rejects.toMatchObject({ code: 'MESH_LAKE_UNAVAILABLE' })
    expect(requests).toHaveLength(1)
  })

  it("finds another writer's object behind a refusal", async () => {
    const { store } = await storeAnswering(
      problem(412, 'PreconditionFailed'),
      status(200, { 'x-amz-meta-mesh-write': 'other' }),
    )
    expect(await store.create('a/b', Buffer.from('x'))).toBe('exists')
  })

  it('asks again when the object that refused the name is deleted before it is looked at', async () => {
    const { store, requests } = await storeAnswering(problem(412, 'PreconditionFailed'), status(404), status(200))
    expect(await store.create('a/b', Buffer.from('x'))).toBe('created')
    expect(requests.map((request) => request.split(' ')[0])).toEqual(['PUT', 'HEAD', 'PUT'])
  })

  it('reports a server that answers 501 to conditions as the lake being unavailable', async () => {
    const { store } = await storeAnswering(problem(501, 'NotImplemented'))
    await expect(store.create('a/b', Buffer.from('x'))).rejects.toMatchObject({ code: 'MESH_LAKE_UNAVAILABLE' })
  })
})
