import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createMemoryObjectStore } from '@mesh/shared/testing/memory-object-store'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { applyStreams } from '../../../src/streams/apply.ts'

const projectRoot = mkdtempSync(join(tmpdir(), 'mesh-apply-'))
const store = createMemoryObjectStore()
const bound: string[] = []
let refusal: { status: number; stream: string } | null = null
let server: Server
let replayerUrl = ''

beforeAll(async () => {
  for (const name of ['a', 'b', 'c']) {
    const folder = join(projectRoot, 'streams', name)
    mkdirSync(folder, { recursive: true })
    writeFileSync(
      join(folder, 'stream.yaml'),
      `name: ${name}\ningest: [{ kind: events }]\nrefine: { schema: refined.avsc }\n`,
    )
    writeFileSync(join(folder, 'refined.avsc'), '{"type":"record","name":"R","fields":[{"name":"n","type":"int"}]}')
  }
  // The replayer's answers; its own tests say when it refuses.
  server = createServer((request, response) => {
    const stream = request.url!.split('/')[3]!
    const refused = refusal?.stream === stream
    if (!refused) bound.push(stream)
    response.writeHead(refused ? refusal!.status : 200, { 'content-type': 'application/json' })
    const error = {
      code: refusal?.status === 503 ? 'MESH_REGISTRY_UNAVAILABLE' : 'MESH_SCHEMA_INCOMPATIBLE',
      message: 'field n',
    }
    response.end(JSON.stringify(refused ? error : { stream, changed: true, bundle: 'x', createdTopics: [] }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  replayerUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  bound.length = 0
  refusal = null
})
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve))
  rmSync(projectRoot, { recursive: true, force: true })
})

describe('applying streams', () => {
  it('a stream that is refused stops no other', async () => {
    refusal = { status: 409, stream: 'b' }
    const refused: string[] = []
    const applied = await applyStreams(
      { projectRoot, store, replayerUrl },
      { onRefused: (stream, error) => refused.push(`${stream} ${error.code}`) },
    )
    expect(applied.map(({ stream }) => stream)).toEqual(['a', 'c'])
    expect(refused).toEqual(['b MESH_SCHEMA_INCOMPATIBLE'])
  })

  it('is an error in the end where nobody listens for it', async () => {
    refusal = { status: 409, stream: 'a' }
    await expect(applyStreams({ projectRoot, store, replayerUrl })).rejects.toMatchObject({
      code: 'MESH_SCHEMA_INCOMPATIBLE',
    })
    expect(bound).toEqual(['b', 'c'])
  })

  it('stops where the mesh itself is broken', async () => {
    refusal = { status: 503, stream: 'b' }
    await expect(applyStreams({ projectRoot, store, replayerUrl }, { onRefused: () => {} })).rejects.toMatchObject({
      code: 'MESH_REGISTRY_UNAVAILABLE',
    })
    expect(bound).toEqual(['a'])
  })
})
