import { join } from 'node:path'
import { createCommitPublisher } from '@mesh/shared/kafka/commit-events'
import { createKafka } from '@mesh/shared/kafka/kafka'
import { openObjectStore } from '@mesh/shared/lake/open-object-store'
import { createHttpServer } from '@mesh/shared/runtime/http-server'
import { runService, type Service } from '@mesh/shared/runtime/service'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import { createCodeLoader } from './adapters/code-loader.ts'
import { createJoinTables } from './adapters/join-tables.ts'
import { ENRICHER_CONFIG, ENRICHER_ENV_PREFIX } from './config.ts'
import { createEnricher } from './service.ts'
import { createEnricherTelemetry } from './telemetry.ts'

await runService({
  name: 'enricher',
  envPrefix: ENRICHER_ENV_PREFIX,
  config: ENRICHER_CONFIG,
  async build({ config, logger, telemetry, fatal }) {
    const kafka = createKafka({ brokers: config.kafkaBrokers, clientId: 'mesh-enricher', logger })
    const store = openObjectStore({ url: config.lakeUrl })
    const codec = createAvroCodec(createSchemaRegistry({ url: config.registryUrl }))
    const producer = await kafka.producer()
    const enricher = createEnricher({
      kafka,
      producer,
      publish: (event) => createCommitPublisher(producer).publish(event),
      codes: createCodeLoader({ store, codec, cacheDir: join(config.stateDir, 'bundles') }),
      tables: createJoinTables({ kafka, codec, onFatal: fatal }),
      limits: config,
      pace: { commitIntervalMs: config.commitIntervalMs, now: () => performance.now() },
      wallClock: () => new Date().toISOString(),
      telemetry: createEnricherTelemetry(telemetry, logger),
      logger,
      onFatal: fatal,
    })
    const clients: Service = {
      start: async () => {},
      async stop() {
        await producer.close()
        await kafka.close()
      },
    }
    const http = createHttpServer({
      host: config.httpHost,
      port: config.httpPort,
      telemetry,
      readiness: () => enricher.readiness(),
    })
    return [clients, http, enricher]
  },
})
