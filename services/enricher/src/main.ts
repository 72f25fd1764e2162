import { join } from 'node:path'
import { createCommitPublisher } from '@mesh/shared/kafka/commit-events'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import { lakeLocation, openObjectStore } from '@mesh/shared/lake/open-object-store'
import { createHttpServer } from '@mesh/shared/runtime/http-server'
import { createSecretReader } from '@mesh/shared/runtime/secrets'
import { runService, type Service } from '@mesh/shared/runtime/service'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import { createCodeLoader } from './adapters/code-loader.ts'
import { createJoinTables } from './adapters/join-tables.ts'
import { openKeyedState } from './adapters/keyed-stores.ts'
import { CONFIG, ENV_PREFIX } from './config.ts'
import { createEnricher } from './service.ts'
import { createEnricherTelemetry } from './telemetry.ts'

await runService({
  name: 'enricher',
  envPrefix: ENV_PREFIX,
  config: CONFIG,
  async build({ config, logger, telemetry, fatal }) {
    const kafka = connectKafka({ brokers: config.kafkaBrokers, clientId: 'mesh-enricher' })
    const store = openObjectStore(lakeLocation(config))
    const codec = createAvroCodec(createSchemaRegistry({ url: config.registryUrl }))
    const producer = await kafka.producer()
    const events = createEnricherTelemetry(telemetry, logger)
    const publisher = createCommitPublisher(producer)
    const enricher = createEnricher({
      kafka,
      producer,
      publish: (event) => publisher.publish(event),
      codes: createCodeLoader({
        store,
        codec,
        cacheDir: join(config.stateDir, 'bundles'),
        privacy: {
          readSecret: createSecretReader(process.env),
          holdMs: config.erasureNoticeMs,
          maxSubjects: config.maxSubjects,
          onErased: (stream) => events.erased(stream),
        },
      }),
      tables: createJoinTables({ kafka, codec, onFatal: fatal }),
      limits: config,
      openKeyed: (id) => openKeyedState(join(config.stateDir, 'keyed'), id),
      pace: { commitIntervalMs: config.commitIntervalMs, tickMs: 100, now: () => performance.now() },
      wallClock: () => new Date().toISOString(),
      telemetry: events,
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
      logger,
      readiness: () => enricher.readiness(),
    })
    return [clients, http, enricher]
  },
})
