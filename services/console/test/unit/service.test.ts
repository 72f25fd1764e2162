import type { CommitEvent } from '@mesh/shared/core/books'
import { textBytes } from '@mesh/shared/core/record'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import type { RunsRecord } from '@mesh/shared/core/runs'
import { COMMITS_TOPIC, REPLAYS_TOPIC, RUNS_TOPIC, VERSIONS_TOPIC } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import { createHttpServer } from '@mesh/shared/runtime/http-server'
import { SILENT_LOGGER } from '@mesh/shared/runtime/logger'
import { inOrder } from '@mesh/shared/runtime/service'
import { createTelemetry } from '@mesh/shared/runtime/telemetry'
import { createMemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createEventStream } from '../../src/adapters/event-stream.ts'
import { createTopicTable } from '../../src/adapters/topic-table.ts'
import type { Snapshot } from '../../src/core/snapshot-types.ts'
import { registerRoutes } from '../../src/routes.ts'
import { createConsole } from '../../src/service.ts'
import { createConsoleTelemetry } from '../../src/telemetry.ts'
import { commit, streamState, version } from './inputs.ts'

vi.setConfig({ testTimeout: 60_000 })

/** Conditions come true at once on a free machine. */
const PATIENT = { timeout: 50_000 }

async function startConsole(maxPages = 10) {
  const kafka = createMemoryKafka()
  await kafka.admin.ensureTopics([
    ...meshTopics(),
    ...['raw.flights.v1', 'refined.flights.v1'].map((name) => ({ name, partitions: 2, config: {} })),
  ])
  const producer = await kafka.producer()
  const put = (topic: string, key: string, value: unknown): Promise<unknown> =>
    producer.send(topic, [{ partition: 0, key: textBytes(key), value: textBytes(JSON.stringify(value)), headers: [] }])
  await put(VERSIONS_TOPIC, 'flights', streamState([version(1)]))
  await put(COMMITS_TOPIC, ...commit('landing', 1, 0, { outputs: 7 }))
  let reads = 0
  const telemetry = createTelemetry('console-test')
  const table = <V>(topic: string) => createTopicTable<V>({ kafka, topic, retryMs: 1 })
  const pages = createEventStream(maxPages, () => mesh.pageOpened())
  const mesh = createConsole({
    kafka,
    versions: table<StreamVersions>(VERSIONS_TOPIC),
    commits: table<CommitEvent>(COMMITS_TOPIC),
    replays: table<ReplayJob>(REPLAYS_TOPIC),
    runs: table<RunsRecord>(RUNS_TOPIC),
    probe: async () => {
      reads += 1
      return [{ name: 'enricher', url: 'http://e', state: 'ready', detail: null }]
    },
    pages,
    refreshMs: 5,
    now: () => performance.now(),
    wallClock: () => '2024-01-01T00:00:00Z',
    telemetry: createConsoleTelemetry(telemetry, SILENT_LOGGER),
  })
  const http = createHttpServer({
    host: '127.0.0.1',
    port: 0,
    telemetry,
    logger: SILENT_LOGGER,
    readiness: () => mesh.readiness(),
    routes: (app) =>
      registerRoutes(app, { mesh, pages, gold: async () => ({ state: 'none', reason: 'not here', tables: null }) }),
  })
  const all = inOrder([http, mesh])
  await all.start()
  onTestFinished(() => all.stop())
  await expect.poll(() => mesh.readiness().ready, PATIENT).toBe(true)
  return { url: http.address(), producer, reads: () => reads, pages, stop: () => all.stop() }
}

/** Reads server-sent snapshots until one satisfies. */
async function nextSnapshot(response: Response, wanted: (snapshot: Snapshot) => boolean): Promise<Snapshot> {
  let text = ''
  for await (const bytes of response.body!.pipeThrough(new TextDecoderStream())) {
    text += bytes
    for (const event of text.split('\n\n').slice(0, -1)) {
      const line = event.split('\n').find((part) => part.startsWith('data: '))
      if (line === undefined) continue
      const snapshot = JSON.parse(line.slice('data: '.length)) as Snapshot
      if (wanted(snapshot)) return snapshot
    }
    text = text.slice(text.lastIndexOf('\n\n') + 2)
  }
  throw new Error('the stream ended')
}

test('an open page gets snapshots as the mesh moves on; without one nothing is read', async () => {
  const { url, producer, reads, pages } = await startConsole()
  expect(reads()).toBe(0)
  const abort = new AbortController()
  const response = await fetch(`${url}/events`, { signal: abort.signal })
  expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
  const moved = nextSnapshot(response, (snapshot) => snapshot.streams[0]?.raw.written === 1)
  await producer.send('raw.flights.v1', [{ partition: 1, key: null, value: textBytes('{}'), headers: [] }])
  const snapshot = await moved
  expect(snapshot.streams[0]).toMatchObject({ stream: 'flights', live: 1, bronze: { lag: 1 } })
  expect(snapshot.streams[0]!.versions[0]!.landing.counts).toMatchObject({ outputs: 7 })
  expect(snapshot.services[0]).toMatchObject({ name: 'enricher', state: 'ready' })
  abort.abort()
  await expect.poll(() => pages.count(), PATIENT).toBe(0)
  let before = -1
  const still = (): boolean => {
    const same = reads() === before
    before = reads()
    return same
  }
  await expect.poll(still, { ...PATIENT, interval: 25 }).toBe(true)
})

test('pages beyond the limit are refused, and stopping ends the open ones', async () => {
  const { url, stop } = await startConsole(1)
  const response = await fetch(`${url}/events`)
  expect((await fetch(`${url}/events`)).status).toBe(503)
  await stop()
  await expect(nextSnapshot(response, () => false)).rejects.toThrow('the stream ended')
})

test('serves a page that loads nothing from elsewhere and needs no inline code', async () => {
  const { url } = await startConsole()
  const page = await fetch(url)
  const html = (await page.text()) + (await (await fetch(`${url}/gold`)).text())
  expect(page.headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'")
  expect(html).not.toMatch(/<script>|<style|\son\w+=|style=/)
  const links = [...html.matchAll(/(?:src|href)="(\/[^"]*)"/g)].map((match) => match[1]!)
  expect(links).toContain('/page.js')
  for (const link of links) expect([link, (await fetch(url + link)).status]).toEqual([link, 200])
  expect(html).not.toMatch(/(?:src|href)="https?:/)
  const scripts = await Promise.all(
    ['page', 'picture', 'dom', 'gold', 'charts'].map(async (name) => (await fetch(`${url}/${name}.js`)).text()),
  )
  expect(scripts.join('')).not.toMatch(/innerHTML|insertAdjacentHTML|document\.write|eval\(/)
  expect(await (await fetch(`${url}/api/snapshot`)).json()).toMatchObject({ streams: [{ stream: 'flights' }] })
})
