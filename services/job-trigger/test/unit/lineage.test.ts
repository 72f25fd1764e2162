import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { commitKey } from '@mesh/shared/core/books'
import { bytesText, textBytes } from '@mesh/shared/core/record'
import { COMMITS_TOPIC, LINEAGE_TOPIC, RUNS_TOPIC } from '@mesh/shared/core/topics'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import { freePort } from '@mesh/shared/testing/free-port'
import { createMemoryKafka, type MemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { openLineageProblems } from '@mesh/shared/testing/open-lineage-schema'
import { until } from '@mesh/shared/testing/until'
import { expect, onTestFinished, test } from 'vitest'
import { createLineageReceiver, type LineageReceiver } from '../../src/adapters/lineage-receiver.ts'
import { placesOf } from '../../src/core/lineage-datasets.ts'
import type { RunEvent } from '../../src/core/open-lineage.ts'
import { createLineage } from '../../src/lineage.ts'
import { commit, run } from '../support/jobs.ts'

type Problems = { away: number; refused: string[]; failed: string[]; withoutColumns: number }

async function world() {
  const kafka = createMemoryKafka()
  await kafka.admin.ensureTopics(meshTopics())
  const producer = await kafka.producer()
  const put = (topic: string, key: string, value: unknown): Promise<unknown> =>
    producer.send(topic, [{ partition: 0, key: textBytes(key), value: textBytes(JSON.stringify(value)), headers: [] }])
  return { kafka, put, commits: (next: number) => put(COMMITS_TOPIC, commitKey(commit(next)), commit(next)) }
}

/** Pauses last one turn of the event loop: nothing here waits for real time. */
async function startLineage(kafka: MemoryKafka, receiver: LineageReceiver | null, shapeOf = async () => null) {
  const problems: Problems = { away: 0, refused: [], failed: [], withoutColumns: 0 }
  const lineage = createLineage({
    kafka,
    producer: await kafka.producer(),
    sources: {
      places: placesOf({ kafkaBrokers: ['b:1'], lakeUrl: null, warehouseUrl: null, goldUrl: null }),
      namespace: 'mesh',
      versions: () => new Map(),
      shapeOf,
      artefactsOf: async () => null,
      withoutColumns: () => void problems.withoutColumns++,
    },
    receiver,
    clock: { now: () => 0, wait: () => new Promise((resolve) => setImmediate(resolve)) },
    jitter: () => 0,
    telemetry: {
      lineageDelivered() {},
      lineageRefused: (reason) => void problems.refused.push(reason),
      receiverAway: () => void problems.away++,
      withoutColumns() {},
      lineageFailed: (error) => void problems.failed.push(String(error)),
    },
    tickMs: 1,
  })
  await lineage.start()
  let running = true
  const stop = async (): Promise<void> => {
    if (running) await lineage.stop()
    running = false
  }
  onTestFinished(stop)
  return { problems, stop }
}

const written = (kafka: MemoryKafka): RunEvent[] =>
  kafka.log(LINEAGE_TOPIC, 0).map(({ value }) => JSON.parse(bytesText(value!)) as RunEvent)

type Received = { readonly events: RunEvent[]; readonly authorization: Set<string | undefined> }

async function listen(port: number, received: Received, status: () => number): Promise<Server> {
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      const code = status()
      if (code === 201) received.events.push(JSON.parse(body) as RunEvent)
      received.authorization.add(request.headers.authorization)
      response.writeHead(code).end()
    })
  }).listen(port, '127.0.0.1')
  await once(server, 'listening')
  return server
}

test('commit events and runs become valid events on mesh.lineage, repeats do not, and a restart goes on where it was', async () => {
  const { kafka, put, commits } = await world()
  await commits(10)
  await commits(10)
  await put(COMMITS_TOPIC, 'junk', 'no commit event')
  await put(RUNS_TOPIC, 'run/gold.1', run('gold.1', { state: 'running', attempt: 1 }))
  const first = await startLineage(kafka, null)
  await until(() => written(kafka).length >= 3, 'three events')
  await first.stop()
  const second = await startLineage(kafka, null)
  await commits(20)
  await until(
    () => written(kafka).some(({ run: { facets } }) => JSON.stringify(facets).includes('"to":20')),
    'the next step',
  )
  await second.stop()
  const events = written(kafka)
  expect(events.flatMap(openLineageProblems)).toEqual([])
  expect(events.map(({ job, eventType }) => `${job.name} ${eventType}`).sort()).toEqual([
    'gold START',
    'landing.flights.v1 COMPLETE',
    'landing.flights.v1 COMPLETE',
    'landing.flights.v1 START',
    'landing.flights.v1 START',
  ])
})

test('a receiver that is away gets every event, in order, once it is there; the topic never waits for it', async () => {
  const { kafka, commits } = await world()
  const received: Received = { events: [], authorization: new Set() }
  const port = await freePort()
  const { problems } = await startLineage(
    kafka,
    createLineageReceiver(`http://127.0.0.1:${port}/api/v1/lineage`, 'token'),
  )
  for (const next of [10, 20, 30]) await commits(next)
  await until(() => written(kafka).length === 6 && problems.away > 2, 'events on the topic, receiver away')
  let code = 503
  const server = await listen(port, received, () => code)
  onTestFinished(() => void server.close())
  await until(() => received.authorization.has('Bearer token'), 'the receiver is asked')
  expect(received.events).toEqual([])
  code = 201
  await until(() => received.events.length === 6, 'all are delivered')
  expect(received.events).toEqual(written(kafka))
  expect(problems.failed).toEqual([])
})

test('an event that the receiver refuses is counted and passed over', async () => {
  const { kafka, commits } = await world()
  const received: Received = { events: [], authorization: new Set() }
  let calls = 0
  const server = await listen(0, received, () => (calls++ === 0 ? 422 : 201))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const { problems } = await startLineage(kafka, createLineageReceiver(`http://127.0.0.1:${port}/`, null))
  await commits(10)
  await until(() => received.events.length === 1, 'the second is delivered')
  expect(problems.refused).toEqual(['it answers 422'])
  expect(received.events[0]!.eventType).toBe('COMPLETE')
})

test('without the lake events name their datasets and say nothing of columns', async () => {
  const { kafka, commits } = await world()
  const { problems } = await startLineage(kafka, null, async () => {
    throw new Error('the lake is away')
  })
  await commits(10)
  await until(() => written(kafka).length === 2, 'two events')
  expect(problems.withoutColumns).toBe(1)
  expect(written(kafka)[1]!.outputs[0]!.facets).toBeUndefined()
})
