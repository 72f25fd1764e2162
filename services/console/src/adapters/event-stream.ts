import type { ServerResponse } from 'node:http'
import type { Snapshot } from '../core/snapshot-types.ts'

/** Pages that are open: each gets every snapshot as a server-sent event. */
export type EventStream = {
  /** Takes a response over; false when too many pages are open. */
  add(response: ServerResponse): boolean
  send(snapshot: Snapshot): void
  count(): number
  /** Ends every response and takes no more. */
  close(): void
}

/** @param onFirst told when a page opens while none was */
export function createEventStream(maxClients: number, onFirst: () => void): EventStream {
  const clients = new Set<ServerResponse>()
  let closed = false
  return {
    add(response) {
      if (closed || clients.size >= maxClients) return false
      response.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      })
      response.write('retry: 2000\n\n')
      response.on('close', () => clients.delete(response))
      clients.add(response)
      if (clients.size === 1) onFirst()
      return true
    },
    send(snapshot) {
      const event = `event: snapshot\ndata: ${JSON.stringify(snapshot)}\n\n`
      // A page that does not read misses a snapshot: the next one says it all, and nothing piles up here.
      for (const client of clients) if (!client.writableNeedDrain) client.write(event)
    },
    count: () => clients.size,
    close() {
      closed = true
      for (const client of clients) client.end()
    },
  }
}
