import { createHmac } from 'node:crypto'
import { type GatewayAddress, postEvents, type Receipt, sendWithRetry } from '../gateway-client.ts'
import type { Airport, Flight, GithubDelivery } from './real-data.ts'

/** Everything a run sends carries its run id, so that a warm start adds events and checks exactly those. */
export type Sent = { readonly receipts: readonly Receipt[]; readonly rejected: readonly Receipt[] }

const FLIGHTS_PER_REQUEST = 1000
const WEBHOOKS_IN_FLIGHT = 8

/** Signs and posts webhook bodies as GitHub does: HMAC-SHA256 over the body, one delivery id each. */
export async function sendGithub(
  gateway: GatewayAddress,
  deliveries: readonly GithubDelivery[],
  options: { runId: string; secret: string; onProgress?: (sent: number) => void },
): Promise<Sent> {
  const receipts: Receipt[] = []
  let next = 0
  let done = 0
  async function worker(): Promise<void> {
    while (next < deliveries.length) {
      const i = next++
      const { event, body } = deliveries[i]!
      const result = await sendWithRetry(`${gateway.url}/webhooks/github`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'GitHub-Hookshot/demo',
          'x-github-event': event,
          'x-github-delivery': `${options.runId}-${i}`,
          'x-hub-signature-256': `sha256=${createHmac('sha256', options.secret).update(body).digest('hex')}`,
        },
        body,
      })
      receipts[i] = { ...result.receipts[0]!, index: i }
      options.onProgress?.(++done)
    }
  }
  await Promise.all(Array.from({ length: WEBHOOKS_IN_FLIGHT }, worker))
  return split(receipts)
}

/** Posts reference rows as one JSON array per request. */
export async function sendAirports(
  gateway: GatewayAddress,
  airports: readonly Airport[],
  options: { runId: string },
): Promise<Sent> {
  const receipts: Receipt[] = []
  for (let at = 0; at < airports.length; at += FLIGHTS_PER_REQUEST) {
    const chunk = airports.slice(at, at + FLIGHTS_PER_REQUEST)
    const result = await postEvents(gateway, 'airports', JSON.stringify(chunk), {
      contentType: 'application/json',
      idempotencyKey: `${options.runId}-airports-${at}`,
    })
    receipts.push(...result.receipts)
  }
  return split(receipts)
}

/** Numbers flights (they have no id, and equal rows are different flights) and posts them as NDJSON. */
export async function sendFlights(
  gateway: GatewayAddress,
  flights: readonly Flight[],
  options: { runId: string; firstNumber?: number; onProgress?: (sent: number) => void },
): Promise<Sent> {
  const first = options.firstNumber ?? 0
  const receipts: Receipt[] = []
  for (let at = 0; at < flights.length; at += FLIGHTS_PER_REQUEST) {
    const lines = flights
      .slice(at, at + FLIGHTS_PER_REQUEST)
      .map((flight, i) => JSON.stringify({ id: `${options.runId}-${first + at + i}`, ...flight }))
    const result = await postEvents(gateway, 'flights', `${lines.join('\n')}\n`, {
      contentType: 'application/x-ndjson',
      idempotencyKey: `${options.runId}-flights-${first + at}`,
    })
    receipts.push(...result.receipts)
    options.onProgress?.(Math.min(at + FLIGHTS_PER_REQUEST, flights.length))
  }
  return split(receipts)
}

function split(receipts: readonly Receipt[]): Sent {
  return {
    receipts: receipts.filter((receipt) => receipt.status === 'accepted'),
    rejected: receipts.filter((receipt) => receipt.status !== 'accepted'),
  }
}
