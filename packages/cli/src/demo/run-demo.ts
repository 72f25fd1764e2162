import { refinedTopic } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { GatewayAddress, Receipt } from '../gateway-client.ts'
import type { MeshAccess } from '../mesh-access.ts'
import type { StreamSummary } from '../verify/books.ts'
import { closedBooks } from '../verify/closed-books.ts'
import { overall } from '../verify/verify.ts'
import { countLayers, type LayerCount, type Samples, sampleRows } from './evidence.ts'
import { type GoldSample, readGold } from './gold-sample.ts'
import { readAirports, readFlights, readGithubDeliveries } from './real-data.ts'
import { type RefinedSample, readRefinedRecord } from './refined-sample.ts'
import { type Sent, sendAirports, sendFlights, sendGithub } from './senders.ts'
import { waitForTable } from './wait-for-table.ts'

export type DemoOptions = {
  readonly mesh: MeshAccess
  readonly codeDir: string
  readonly githubSecret: string
  /** Marks this run's events, so that a warm start adds events and checks exactly those. */
  readonly runId: string
  readonly flights: number
  readonly onStep: (text: string) => void
}

export type DemoResult = {
  readonly receipts: Readonly<Record<string, readonly Receipt[]>>
  readonly rejected: readonly Receipt[]
  readonly refined: RefinedSample | null
  readonly samples: Samples
  readonly layers: readonly LayerCount[]
  readonly books: readonly StreamSummary[]
  readonly gold: GoldSample
  readonly complete: boolean
}

const STEP_TIMEOUT_MS = 120_000

/** Sends real events in at the door and shows where each layer has them. */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { mesh, onStep, runId } = options
  const gateway: GatewayAddress = mesh.gateway
  const airports = await readAirports(options.codeDir)
  const flights = (await readFlights(options.codeDir)).slice(0, options.flights)
  const deliveries = readGithubDeliveries(options.codeDir)

  onStep(`posting ${airports.length} airports (reference for the join)`)
  const sentAirports = await sendAirports(gateway, airports, { runId })
  const airportsLive = (await mesh.streams()).find((state) => state.stream === 'airports')?.live ?? 1
  await waitForTable({
    kafka: mesh.kafka(),
    enricherUrl: mesh.addresses.services['enricher'] ?? '',
    stream: 'airports',
    version: airportsLive,
    receipts: sentAirports.receipts,
    timeoutMs: STEP_TIMEOUT_MS,
  })
  onStep(`posting ${deliveries.length} signed GitHub webhooks and ${flights.length} flights`)
  const [sentGithub, sentFlights] = await Promise.all([
    sendGithub(gateway, deliveries, { runId, secret: options.githubSecret }),
    sendFlights(gateway, flights, { runId }),
  ])
  const sent: Record<string, Sent> = { airports: sentAirports, github: sentGithub, flights: sentFlights }

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
    gold,
    complete:
      rejected.length === 0 &&
      layers.every((layer) => layer.found === layer.expected) &&
      overall(books) === 'closed' &&
      gold.state !== 'failed',
  }
}

function layersOf(mesh: MeshAccess): { lakeUrl: string; warehouseFile: string } {
  return { lakeUrl: mesh.addresses.lakeUrl, warehouseFile: mesh.warehouseFile }
}

async function refinedTopicId(mesh: MeshAccess, state: StreamVersions): Promise<string> {
  const topic = refinedTopic(state.stream, state.live)
  return (await mesh.kafka().admin.topicIds([topic])).get(topic) ?? ''
}
