import { textBytes } from '@mesh/shared/core/record'
import { postEvents } from '../../packages/cli/src/gateway-client.ts'
import type { MeshUnderTest } from '../e2e/mesh-under-test.ts'

const flight = (id: string, more: object): string =>
  JSON.stringify({ id, date: '2001/01/01 10:00', delay: 1, distance: 2, origin: 'LAX', destination: 'SFO', ...more })

/** Flights that the enricher dead-letters, each for another reason, and good ones that look like them. */
const LINES: readonly string[] = [
  flight('delay-text', { delay: '5' }),
  flight('delay-fraction', { delay: 5.5 }),
  flight('delay-too-large', { delay: 3_000_000_000 }),
  flight('delay-null', { delay: null }),
  flight('no-distance', { distance: undefined }),
  flight('date-number', { date: 20010101 }),
  flight('no-such-day', { date: '2001/02/30 10:00' }),
  flight('delay-whole', { delay: 5 }).replace('"delay":5', '"delay":5.0'),
]
/** Of these: the last is good. */
export const DEAD: number = LINES.length

/** By the gateway, and one by another producer, which no gateway has read: it is no JSON. */
export async function postBadFlights(mesh: MeshUnderTest): Promise<void> {
  await postEvents(mesh.gateway, 'flights', `${LINES.join('\n')}\n`, {
    contentType: 'application/x-ndjson',
    idempotencyKey: 'bad-flights',
  })
  const producer = await mesh.kafka.producer()
  await producer.send('raw.flights.v1', [
    { partition: 0, key: textBytes('LAX'), value: textBytes('{"id": "torn", "da'), headers: [] },
  ])
  await producer.close()
}

/** `<partition>/<raw offset> <code>` of each dead letter, sorted: a crash may have written one twice. */
export async function deadLetters(mesh: MeshUnderTest): Promise<string[]> {
  const topic = 'dead-letter.flights.v1'
  const offsets = await mesh.kafka.admin.offsets(topic)
  const ranges = offsets.map(({ partition, highWatermark }) => ({ partition, from: 0, to: highWatermark }))
  const found = new Set<string>()
  await mesh.kafka.readRanges(topic, ranges, ({ records }) => {
    for (const { headers } of records) {
      const text = (name: string): string =>
        Buffer.from(headers.find((header) => header.name === name)?.value ?? []).toString()
      const [, , partition, offset] = text('mesh-src').split(';')
      found.add(`${partition}/${offset} ${text('mesh-error-code')}`)
    }
  })
  return [...found].sort()
}
