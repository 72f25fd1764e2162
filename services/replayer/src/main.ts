import { randomBytes } from 'node:crypto'
import { connectKafka, producerClient } from '@mesh/shared/kafka/connect-kafka'
import { lakeLocation, openObjectStore } from '@mesh/shared/lake/open-object-store'
import { createHttpServer } from '@mesh/shared/runtime/http-server'
import { runService, type Service } from '@mesh/shared/runtime/service'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import { replayerRoutes } from './adapters/http-api.ts'
import { SYSTEM_CLOCK } from './adapters/system-clock.ts'
import { CONFIG, ENV_PREFIX } from './config.ts'
import { newJobId } from './core/job-id.ts'
import { createReplayer } from './service.ts'
import { createReplayerTelemetry } from './telemetry.ts'

await runService({
  name: 'replayer',
  envPrefix: ENV_PREFIX,
  config: CONFIG,
  async build({ config, logger, telemetry, fatal }) {
    const kafka = connectKafka({
      brokers: config.kafkaBrokers,
      clientId: 'mesh-replayer',
      producer: producerClient(config.kafkaProducer),
    })
    const replayer = createReplayer({
      kafka,
      store: openObjectStore(lakeLocation(config)),
      registry: createSchemaRegistry({ url: config.registryUrl }),
      clock: SYSTEM_CLOCK,
      random: Math.random,
      newId: () => newJobId(Date.now(), randomBytes(4)),
      telemetry: createReplayerTelemetry(telemetry, logger),
      fatal,
      settings: config,
    })
    const connection: Service = { start: async () => {}, stop: () => kafka.close() }
    const http = createHttpServer({
      host: config.httpHost,
      port: config.httpPort,
      telemetry,
      logger,
      readiness: () => replayer.readiness(),
      routes: replayerRoutes(replayer),
    })
    return [connection, replayer, http]
  },
})
