import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { freePort } from '@mesh/shared/testing/free-port'
import { afterAll, beforeAll } from 'vitest'

export type ScriptedServer = {
  /** Known once the file's tests run. */
  readonly port: () => number
  /** Stops answering; the returned function listens again at the same port. */
  readonly away: () => Promise<() => Promise<void>>
}

/** A server on the loopback address for the tests of a file, which answers each request, read whole, with a status and JSON. */
export function scriptedServer(answer: (request: IncomingMessage, body: string) => [number, unknown]): ScriptedServer {
  let server: Server
  let port = 0

  async function listen(): Promise<void> {
    server = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => {
        const [status, reply] = answer(request, body)
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(reply))
      })
    }).listen(port, '127.0.0.1')
    await once(server, 'listening')
  }

  beforeAll(async () => {
    // One that no outgoing connection takes while the server is away.
    port = await freePort()
    await listen()
  })
  afterAll(() => void server.close())
  return {
    port: () => port,
    async away() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
      return listen
    },
  }
}
