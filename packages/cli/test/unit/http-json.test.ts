import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { callJson } from '../../src/http-json.ts'

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

/** Closes the connection instead of an answer to its second request. */
async function forgetfulServer(): Promise<{ url: string; asked: () => number }> {
  let asked = 0
  server = createServer((request, response) => {
    if (++asked === 2) return void request.socket.destroy()
    request.resume()
    response.end(JSON.stringify({ asked }))
  })
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, asked: () => asked }
}

it('asks once more for what changes nothing when a kept connection is closed as it is used again', async () => {
  const { url, asked } = await forgetfulServer()
  expect(await callJson(url)).toEqual({ asked: 1 })
  expect(await callJson(url)).toEqual({ asked: 3 })
  expect(asked()).toBe(3)
})

it('never sends twice what may change something', async () => {
  const { url, asked } = await forgetfulServer()
  expect(await callJson(url)).toEqual({ asked: 1 })
  await expect(callJson(url, { method: 'POST', body: {} })).rejects.toMatchObject({ code: 'MESH_SERVICE_UNREACHABLE' })
  expect(asked()).toBe(2)
})
