import { join } from 'node:path'
import { createCommitPublisher } from '@mesh/shared/kafka/commit-events'
import { connectKafka, producerClient } from '@mesh/shared/kafka/connect-kafka'
import { lakeLocation, openObjectStore } from '@mesh/shared/lake/open-object-store'
import { createHttpServer } from '@mesh/shared/runtime/http-server'
import { exportLag } from '@mesh/shared/runtime/lag-telemetry'
import { runService, type Service } from '@mesh/shared/runtime/service'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import { createCodeLoader } from './adapters/code-loader.ts'
import { createBoundedState } from './bounded-state.ts'
import { CONFIG, ENV_PREFIX, requireSecret } from './config.ts'
import { createBodyCache } from './core/body-cache.ts'
import { createEnricher } from './service.ts'
import { createEnricherTelemetry } from './telemetry.ts'

/** A row that arrives wakes who waits for it; the rest is for lookups, and for what no event announces. */
const PARKED_RETRY = { initialMs: 1000, maxMs: 30_000, factor: 2, retries: Number.POSITIVE_INFINITY }

await runService({
  name: 'enricher',
  envPrefix: ENV_PREFIX,
  config: CONFIG,
  async build({ config, logger, telemetry, fatal }) {
    const kafka = connectKafka({
      brokers: config.kafkaBrokers,
      clientId: 'mesh-enricher',
      producer: producerClient(config.kafkaProducer),
    })
    exportLag(telemetry, () => kafka.lag())
    const store = openObjectStore(lakeLocation(config))
    const codec = createAvroCodec(createSchemaRegistry({ url: config.registryUrl }))
    const producer = await kafka.producer()
    const publisher = createCommitPublisher(producer)
    const bounded = createBoundedState({ kafka, codec, config })
    const { tables, lookups, openDedupe, openKeyed, retain } = bounded
    const events = createEnricherTelemetry(telemetry, logger, bounded)
    const enricher = createEnricher({
      kafka,
      producer,
      publish: (event) => publisher.publish(event),
      codes: createCodeLoader({
        store,
        codec,
        cacheDir: join(config.stateDir, 'bundles'),
        privacy: {
          readSecret: requireSecret,
          holdMs: config.erasureNoticeMs,
          maxSubjects: config.maxSubjects,
          onErased: (stream) => events.erased(stream),
        },
      }),
      tables,
      openDedupe,
      retain,
      look: lookups.look,
      openKeyed,
      openBodies: createBodyCache(config.parkedCacheBytes).open,
      limits: config,
      pace: { ...config, tickMs: 100, now: () => performance.now(), random: Math.random },
      parking: {
        maxRecords: config.maxParkedRecords,
        maxIndexBytes: config.maxParkedBytes,
        retry: PARKED_RETRY,
      },
      wallClock: () => new Date().toISOString(),
      epochMs: () => Date.now(),
      random: Math.random,
      telemetry: events,
      logger,
      onFatal: fatal,
    })
    const clients: Service = {
      start: async () => {},
      async stop() {
        await lookups.close()
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
