import { refinedTopic } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { GatewayAddress, Receipt } from '../gateway-client.ts'
import type { MeshAccess } from '../mesh-access.ts'
import type { StreamSummary } from '../verify/books.ts'
import { closedBooks } from '../verify/closed-books.ts'
import { overall } from '../verify/verify.ts'
import { CLICK_PAUSE_MS, sendClicks } from './click-sender.ts'
import { countLayers, type LayerCount, type Samples, sampleRows } from './evidence.ts'
import { type GoldSample, readGold } from './gold-sample.ts'
import { DEMO_CLICKS, showPulled } from './pulled-demo.ts'
import { readAirports, readFlights, readGithubDeliveries } from './real-data.ts'
import { type RefinedSample, readRefinedRecord } from './refined-sample.ts'
import { type Sent, sendAirports, sendFlights, sendGithub } from './senders.ts'
import type { SourceShown } from './source-shown.ts'
import { captureAirports, showAirports } from './sources-demo.ts'
import { waitForTable } from './wait-for-table.ts'

export type DemoOptions = {
  readonly mesh: MeshAccess
  readonly codeDir: string
  readonly githubSecret: string
  /** Marks this run's events, so that a warm start adds events and checks exactly those. */
  readonly runId: string
  readonly flights: number
  /** The PostgreSQL that airports are captured from, and the Redis that clicks are read from; null = nothing is pulled. */
  readonly pulled: { readonly postgresPort: number; readonly redisPort: number } | null
  readonly onStep: (text: string) => void
}

export type DemoResult = {
  readonly receipts: Readonly<Record<string, readonly Receipt[]>>
  readonly rejected: readonly Receipt[]
  readonly refined: RefinedSample | null
  readonly samples: Samples
  readonly layers: readonly LayerCount[]
  readonly books: readonly StreamSummary[]
  /** What was pulled from sources. */
  readonly sources: readonly SourceShown[]
  readonly gold: GoldSample
  readonly complete: boolean
}

const STEP_TIMEOUT_MS = 120_000

/** Sends real events in at the door and shows where each layer has them. */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { mesh, onStep, runId } = options
  const gateway: GatewayAddress = mesh.gateway
  const flights = (await readFlights(options.codeDir)).slice(0, options.flights)
  const deliveries = readGithubDeliveries(options.codeDir)

  const reference = await bringAirports(options, gateway)
  const airportsLive = (await mesh.streams()).find((state) => state.stream === 'airports')?.live ?? 1
  await waitForTable({
    kafka: mesh.kafka(),
    enricherUrl: mesh.addresses.services['enricher'] ?? '',
    stream: 'airports',
    version: airportsLive,
    receipts: reference.upTo,
    timeoutMs: STEP_TIMEOUT_MS,
  })
  onStep(`posting ${deliveries.length} signed GitHub webhooks and ${flights.length} flights`)
  const [sentGithub, sentFlights] = await Promise.all([
    sendGithub(gateway, deliveries, { runId, secret: options.githubSecret }),
    sendFlights(gateway, flights, { runId }),
  ])
  const sent: Record<string, Sent> = { airports: reference.sent, github: sentGithub, flights: sentFlights }

  const arrived = options.pulled === null ? [] : await bringPulled(options, options.pulled, reference.rows)

  onStep('waiting until every layer has them')
  const books = await closedBooks(mesh, STEP_TIMEOUT_MS)
  const states = await mesh.streams()
  const layers: LayerCount[] = []
  for (const state of states) {
    const receipts = sent[state.stream]?.receipts
    if (receipts && receipts.length > 0)
      layers.push(...(await countLayers(layersOf(mesh), state, receipts, await refinedTopicId(mesh, state))))
  }
  const flightState = states.find((state) => state.stream === 'flights')
  const shown = sentFlights.receipts[0]
  onStep('waiting for gold')
  const gold = await readGold(mesh, STEP_TIMEOUT_MS)
  const rejected = Object.values(sent).flatMap((each) => each.rejected)
  return {
    receipts: Object.fromEntries(Object.entries(sent).map(([stream, each]) => [stream, each.receipts])),
    rejected,
    refined: flightState && shown ? await readRefinedRecord(mesh, flightState, shown) : null,
    samples:
      flightState && shown
        ? await sampleRows(layersOf(mesh), flightState, shown, await refinedTopicId(mesh, flightState))
        : { bronze: null, silver: null, landing: null },
    layers,
    books,
    sources: arrived,
    gold,
    complete:
      rejected.length === 0 &&
      [...layers, ...arrived].every(({ found, expected }) => found === expected) &&
      overall(books) === 'closed' &&
      gold.state !== 'failed',
  }
}

async function bringPulled(
  { mesh, codeDir, onStep }: DemoOptions,
  { postgresPort, redisPort }: NonNullable<DemoOptions['pulled']>,
  airports: number,
): Promise<SourceShown[]> {
  onStep(`appending ${DEMO_CLICKS} clicks to a Redis stream; earthquakes are polled by REST and GraphQL`)
  await sendClicks(redisPort, { count: DEMO_CLICKS, startMs: Date.now() - DEMO_CLICKS * CLICK_PAUSE_MS })
  return [
    await showAirports(mesh, { rows: airports, postgresPort }),
    ...(await showPulled({ mesh, codeDir, redisPort, timeoutMs: STEP_TIMEOUT_MS })),
  ]
}

type Reference = {
  readonly sent: Sent
  /** Who has read these has all airports. */
  readonly upTo: readonly Receipt[]
  readonly rows: number
}

async function bringAirports(options: DemoOptions, gateway: GatewayAddress): Promise<Reference> {
  if (options.pulled !== null) {
    options.onStep('waiting until airports (reference for the join) are captured from PostgreSQL')
    const { receipts, rows } = await captureAirports(options.mesh)
    return { sent: { receipts: [], rejected: [] }, upTo: receipts, rows }
  }
  const airports = await readAirports(options.codeDir)
  options.onStep(`posting ${airports.length} airports (reference for the join)`)
  const sent = await sendAirports(gateway, airports, { runId: options.runId })
  return { sent, upTo: sent.receipts, rows: airports.length }
}

function layersOf(mesh: MeshAccess): { lakeUrl: string; warehouseFile: string } {
  return { lakeUrl: mesh.addresses.lakeUrl, warehouseFile: mesh.warehouseFile }
}

async function refinedTopicId(mesh: MeshAccess, state: StreamVersions): Promise<string> {
  const topic = refinedTopic(state.stream, state.live)
  return (await mesh.kafka().admin.topicIds([topic])).get(topic) ?? ''
}
