import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test, vi } from 'vitest'
import { probeServices } from '../../../src/adapters/service-probe.ts'

vi.setConfig({ testTimeout: 60_000 })

async function serve(status: number | null, body: string): Promise<string> {
  const server = createServer((_request, response) => {
    if (status !== null) response.writeHead(status).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('tells ready, unready with its reason, silent and unreachable apart', async () => {
  const [ready, unready] = [await serve(200, 'ok'), await serve(503, '{"status":"starting"}')]
  const answering = await probeServices(
    [
      { name: 'a', url: ready },
      { name: 'b', url: unready },
    ],
    10_000,
  )
  expect(answering).toMatchObject([
    { name: 'a', state: 'ready', detail: null },
    { name: 'b', state: 'unready', detail: '{"status":"starting"}' },
  ])
  const dead = await probeServices(
    [
      { name: 'c', url: await serve(null, '') },
      { name: 'd', url: 'http://127.0.0.1:1' },
    ],
    50,
  )
  expect(dead).toMatchObject([{ state: 'down' }, { state: 'down' }])
})

test('shows what a ready gateway says of sources in trouble, and nothing of those that run', async () => {
  const problems = ['MESH_SOURCE_AUTH password authentication failed']
  const url = await serve(
    200,
    JSON.stringify({ connectors: { shop: { state: 'failed', problems }, fine: { state: 'running', problems: [] } } }),
  )
  expect(await probeServices([{ name: 'gateway', url }], 10_000)).toMatchObject([
    { state: 'ready', detail: 'source shop failed: MESH_SOURCE_AUTH password authentication failed' },
  ])
})
