import type { CommitEvent } from '@mesh/shared/core/books'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import type { RunsRecord } from '@mesh/shared/core/runs'
import { COMMITS_TOPIC, REPLAYS_TOPIC, RUNS_TOPIC, VERSIONS_TOPIC } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import { createHttpServer } from '@mesh/shared/runtime/http-server'
import { runService, type Service } from '@mesh/shared/runtime/service'
import { createEventStream } from './adapters/event-stream.ts'
import { createGoldReader } from './adapters/gold-reader.ts'
import { probeServices } from './adapters/service-probe.ts'
import { createTopicTable } from './adapters/topic-table.ts'
import { CONFIG, ENV_PREFIX, goldFile, serviceAddresses } from './config.ts'
import { registerRoutes } from './routes.ts'
import { createConsole } from './service.ts'
import { createConsoleTelemetry } from './telemetry.ts'

const RETRY_MS = 2000

await runService({
  name: 'console',
  envPrefix: ENV_PREFIX,
  config: CONFIG,
  async build({ config, logger, telemetry }) {
    const kafka = connectKafka({ brokers: config.kafkaBrokers, clientId: 'mesh-console' })
    const addresses = serviceAddresses(config.serviceUrls).filter(({ name }) => name !== 'console')
    const table = <V>(topic: string) => createTopicTable<V>({ kafka, topic, retryMs: RETRY_MS })
    const pages = createEventStream(config.maxPages, () => mesh.pageOpened())
    const mesh = createConsole({
      kafka,
      versions: table<StreamVersions>(VERSIONS_TOPIC),
      commits: table<CommitEvent>(COMMITS_TOPIC),
      replays: table<ReplayJob>(REPLAYS_TOPIC),
      runs: table<RunsRecord>(RUNS_TOPIC),
      probe: () => probeServices(addresses, config.probeTimeout),
      pages,
      refreshMs: config.refresh,
      now: () => performance.now(),
      wallClock: () => new Date().toISOString(),
      telemetry: createConsoleTelemetry(telemetry, logger),
    })
    const gold = createGoldReader(goldFile(config.goldUrl), config.goldRefresh, () => performance.now())
    const clients: Service = { start: async () => {}, stop: () => kafka.close() }
    const http = createHttpServer({
      host: config.httpHost,
      port: config.httpPort,
      telemetry,
      logger,
      readiness: () => mesh.readiness(),
      routes: (app) => registerRoutes(app, { mesh, pages, gold }),
    })
    // Stopped in reverse: the open pages first, or the server would wait for them.
    return [clients, http, mesh]
  },
})
