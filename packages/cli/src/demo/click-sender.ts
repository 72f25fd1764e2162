import { createClient } from '@redis/client'

const PAGES = ['/', '/search?q=boots', '/boots/17', '/basket', '/checkout']

/** Between the times of two clicks. */
export const CLICK_PAUSE_MS = 250

export type SentClick = { readonly id: string; readonly visitor: string }

/** Appends clicks of some visitors to the Redis stream `clicks`, as a web shop would; resolves with the entries' ids. */
export async function sendClicks(
  port: number,
  { count, startMs }: { readonly count: number; readonly startMs: number },
): Promise<SentClick[]> {
  const client = createClient({ socket: { host: '127.0.0.1', port, reconnectStrategy: false } })
  client.on('error', () => {})
  await client.connect()
  try {
    const clicks = Array.from({ length: count }, (_, i) => ({
      visitor: `v-${i % 23}`,
      page: PAGES[i % PAGES.length]!,
      referrer: i % 5 === 0 ? 'https://search.example' : null,
      at: new Date(startMs + i * CLICK_PAUSE_MS).toISOString(),
    }))
    const ids = await Promise.all(clicks.map((click) => client.xAdd('clicks', '*', { json: JSON.stringify(click) })))
    return clicks.map(({ visitor }, i) => ({ id: ids[i]!, visitor }))
  } finally {
    client.destroy()
  }
}

/** How many clicks the stream has ever got. */
export async function countClicks(port: number): Promise<number> {
  const client = createClient({ socket: { host: '127.0.0.1', port, reconnectStrategy: false } })
  client.on('error', () => {})
  await client.connect()
  try {
    return await client.xLen('clicks')
  } finally {
    client.destroy()
  }
}
