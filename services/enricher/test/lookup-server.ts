import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { LookupRule } from '@mesh/shared/core/contract'

export type LookupServer = {
  readonly url: string
  /** Paths asked for, in order. */
  readonly asked: string[]
  answer: (path: string, request: IncomingMessage, response: ServerResponse) => void
  /** Most requests that were open at one time. */
  most(): number
  close(): Promise<void>
}

/** A real HTTP server on a free port, whose answers a test sets. */
export async function startLookupServer(): Promise<LookupServer> {
  let open = 0
  let most = 0
  const http = createServer((request, response) => {
    most = Math.max(most, ++open)
    response.on('finish', () => open--)
    server.asked.push(request.url!)
    server.answer(request.url!, request, response)
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  const server: LookupServer = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    asked: [],
    answer: (path, _request, response) => json(response, { path }),
    most: () => most,
    async close() {
      http.closeAllConnections()
      http.close()
      await once(http, 'close')
    },
  }
  return server
}

export function json(response: ServerResponse, value: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(value))
}

export const lookupRule = (url: string, changes: Partial<LookupRule> = {}): LookupRule => ({
  as: 'customer',
  url: `${url}/customers/{/customer}`,
  headers: {},
  cacheMs: 60_000,
  timeoutMs: 30_000,
  concurrency: 3,
  onMissing: 'null',
  retryMs: 60_000,
  allow: ['127.0.0.0/8'],
  ...changes,
})

/** Answers that are held back until so many wait: they show how many are asked for at a time. */
export function inGroupsOf(count: number, answer: LookupServer['answer']): LookupServer['answer'] {
  let waiting: (() => void)[] = []
  return (path, request, response) => {
    waiting.push(() => answer(path, request, response))
    if (waiting.length < count) return
    const all = waiting
    waiting = []
    for (const go of all) go()
  }
}
