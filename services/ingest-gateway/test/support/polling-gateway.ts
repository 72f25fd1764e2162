import type { Contract, Ingest, IngestPoll } from '@mesh/shared/core/contract'
import type { MeshError } from '@mesh/shared/core/errors'
import { bytesText, headerText, type KafkaRecord } from '@mesh/shared/core/record'
import type { HttpSource, Source } from '@mesh/shared/core/source'
import { CURSORS_TOPIC } from '@mesh/shared/core/topics'
import { meshTopics, rawTopicSpec } from '@mesh/shared/kafka/mesh-topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { createGuardedHttp } from '@mesh/shared/runtime/guarded-http'
import { buildIngest, type RawIngest } from '@mesh/shared/schema/contract-ingest'
import { createMemoryKafka, type MemoryKafka } from '@mesh/shared/testing/memory-kafka'
import type { IngestStream } from '../../src/core/ports.ts'
import type { SourceStatus } from '../../src/core/source-status.ts'
import { UNASKED } from '../../src/core/sources/source-types.ts'
import { forgetPositions } from '../../src/forget-positions.ts'
import { createSourceReaders } from '../../src/source-readers.ts'
import { createSources, type SourcesOptions } from '../../src/sources.ts'
import { contractOf, directoryOf, streamOf } from './gateway.ts'
import { type PagedServer, servePaged, thingsUpTo } from './paged-server.ts'

export const HTTP_SOURCE: HttpSource = {
  name: 'api',
  description: '',
  owner: '',
  kind: 'http',
  url: '',
  auth: null,
  headers: {},
  timeoutMs: 5000,
  maxBytes: 1_000_000,
  limits: { requestsPerMinute: null, concurrency: 1 },
}

export function pollOf(changes: Partial<RawIngest> = {}): IngestPoll {
  const raw: RawIngest = {
    kind: 'poll',
    source: 'api',
    path: '/things',
    every: '10ms',
    records: '/list',
    id: '/id',
    query: { limit: '{{size}}', page: '{{page}}' },
    pages: { kind: 'token', at: '/next', size: 5 },
    ...changes,
  }
  return buildIngest(raw) as IngestPoll
}

/** A poll by time with pages: of what `servePaged` serves. */
export const BY_TIME = {
  query: { since: '{{since}}', limit: '{{size}}', page: '{{page}}' },
  cursor: { kind: 'time', at: '/at' },
} as const

export type PolledServer = {
  readonly api: PagedServer
  readonly kafka: MemoryKafka
  readonly stream: IngestStream
}

/** A list of things behind HTTP, the stream that polls it, and its topics on a Kafka in memory. */
export async function polledServer(
  count: number,
  changes: Partial<RawIngest>,
  open: { push(part: { stop(): Promise<void> }): unknown },
): Promise<PolledServer> {
  const api = await servePaged(thingsUpTo(count))
  open.push({ stop: () => api.close() })
  const kafka = createMemoryKafka()
  const stream = polledStream(pollOf(changes), { ...HTTP_SOURCE, url: api.url })
  await createTopics(kafka, stream)
  return { api, kafka, stream }
}

export function polledStream(
  ingest: Ingest,
  source: Source,
  changes: Partial<Contract> = { key: ['/id'] },
): IngestStream {
  const contract = contractOf('things', { ingest: [ingest], ...changes })
  return { ...streamOf(contract), sources: { [source.name]: source } }
}

export type PollingGateway = {
  readonly failures: MeshError[]
  /** Entries that were told lost, each time. */
  readonly lost: number[]
  status(): SourceStatus
  /** Of every ingest. */
  statuses(): SourceStatus[]
  /** As an operator asks this gateway; resolves with the keys of the positions. */
  forget(): Promise<readonly string[]>
  /** A wish has changed. */
  refresh(): void
  stop(): Promise<void>
}

/** What main.ts runs for sources, over any Kafka. */
export async function startPolling(
  kafka: KafkaPort,
  stream: IngestStream,
  options: {
    secrets?: Readonly<Record<string, string>>
    ports: readonly number[]
    now?: () => number
    wishOf?: SourcesOptions['wishOf']
    foreign?: () => KafkaPort | Promise<KafkaPort>
  },
): Promise<PollingGateway> {
  const failures: MeshError[] = []
  const lost: number[] = []
  const outbound = { allowedCidrs: ['127.0.0.0/8'], ports: options.ports }
  const http = createGuardedHttp(outbound)
  const opened = [http]
  const now = options.now ?? Date.now
  const source = Object.keys(stream.sources)[0]!
  const sources = createSources({
    directory: directoryOf([stream]),
    createReader: createSourceReaders({
      kafka,
      http,
      openHttp(identity) {
        const own = createGuardedHttp({ ...outbound, identity })
        opened.push(own)
        return own
      },
      readSecret: async (reference) => options.secrets?.[reference] ?? null,
      maxEventBytes: 10_000,
      now,
      random: () => 0,
      connectForeign: async () => options.foreign?.() ?? kafka,
      onLost: (_label, _stream, entries) => lost.push(entries),
    }),
    wishOf: options.wishOf ?? (() => UNASKED),
    hooks: () => ({ onFailing: (error) => failures.push(error), onBack: () => {}, onWritten: () => {} }),
    now,
    onFatal(error) {
      throw error
    },
  })
  sources.refresh()
  await sources.start()
  return {
    failures,
    lost,
    status: () => Object.values(sources.status())[0]!,
    statuses: () => Object.values(sources.status()),
    refresh: sources.refresh,
    forget: () => sources.aside(source, () => forgetPositions(kafka, source, now)),
    async stop() {
      await sources.stop()
      await Promise.all(opened.map((one) => one.close()))
    },
  }
}

export async function createTopics(kafka: KafkaPort, stream: IngestStream): Promise<void> {
  const cursors = meshTopics().filter(({ name }) => name === CURSORS_TOPIC)
  await kafka.admin.ensureTopics([rawTopicSpec(stream.contract), ...cursors])
}

/** Committed raw records over all partitions. */
export function rawRecords(kafka: MemoryKafka, stream: IngestStream): KafkaRecord[] {
  return Array.from({ length: stream.partitions }, (_, p) => kafka.log(stream.rawTopic, p)).flat()
}

export const eventIds = (records: readonly KafkaRecord[]): string[] =>
  records.map(({ headers }) => headerText(headers, 'ce_id') ?? '').sort((a, b) => Number(a) - Number(b))

/** The position as a reader of `mesh.cursors` finds it. */
export function cursorState(kafka: MemoryKafka): Record<string, unknown> | null {
  const records = kafka.log(CURSORS_TOPIC, 0).filter(({ key }) => !bytesText(key!).includes('#'))
  const last = records.at(-1)
  return last?.value ? (JSON.parse(bytesText(last.value)) as { state: Record<string, unknown> }).state : null
}
