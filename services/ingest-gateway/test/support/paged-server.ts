import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Thing = { readonly id: number; readonly at: string; readonly name?: string }

export type PagedServer = {
  readonly url: string
  readonly port: number
  /** What it serves; may change. */
  things: Thing[]
  /** Requests so far, as `path?query`. */
  readonly asked: string[]
  /** Takes a request over: true when it has answered. */
  intercept: ((request: IncomingMessage, response: ServerResponse) => boolean) | null
  close(): Promise<void>
}

/** A REST API with `since`, `limit` and page tokens (`page`), real and on a port of its own. */
export async function servePaged(things: Thing[]): Promise<PagedServer> {
  let snapshot = things
  const server = createServer((request, response) => {
    paged.asked.push(request.url ?? '')
    if (paged.intercept?.(request, response)) return
    const { searchParams } = new URL(request.url ?? '', 'http://x')
    const since = searchParams.get('since')
    const limit = Number(searchParams.get('limit') ?? 10)
    const from = Number(searchParams.get('page') ?? 0)
    // A run's pages are of one moment, so that a change in between moves nothing from page to page.
    if (from === 0) snapshot = paged.things
    const matching = snapshot.filter(({ at }) => since === null || at >= since)
    const next = from + limit < matching.length ? String(from + limit) : null
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ list: matching.slice(from, from + limit), next }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const paged: PagedServer = {
    url: `http://127.0.0.1:${port}`,
    port,
    things,
    asked: [],
    intercept: null,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return paged
}

export const thingsUpTo = (count: number): Thing[] =>
  Array.from({ length: count }, (_, i) => ({ id: i, at: new Date(Date.UTC(2026, 0, 1) + i * 1000).toISOString() }))
