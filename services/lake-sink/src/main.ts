import { randomUUID } from 'node:crypto'
import { createCommitPublisher } from '@mesh/shared/kafka/commit-events'
import { connectKafka, producerClient } from '@mesh/shared/kafka/connect-kafka'
import { lakeLocation, openObjectStore } from '@mesh/shared/lake/open-object-store'
import { createHttpServer } from '@mesh/shared/runtime/http-server'
import { exportLag } from '@mesh/shared/runtime/lag-telemetry'
import { runService, type Service } from '@mesh/shared/runtime/service'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import { CONFIG, ENV_PREFIX } from './config.ts'
import { createMemoryBudget } from './core/memory-budget.ts'
import { createLakeSink } from './service.ts'
import { createLakeSinkTelemetry } from './telemetry.ts'

await runService({
  name: 'lake-sink',
  envPrefix: ENV_PREFIX,
  config: CONFIG,
  async build({ config, logger, telemetry, fatal }) {
    const kafka = connectKafka({
      brokers: config.kafkaBrokers,
      clientId: 'mesh-lake-sink',
      producer: producerClient(config.kafkaProducer),
    })
    exportLag(telemetry, () => kafka.lag())
    const producer = await kafka.producer()
    const commits = createCommitPublisher(producer)
    const registry = createSchemaRegistry({ url: config.registryUrl })
    const budget = createMemoryBudget(config.memoryBytes)
    const sink = createLakeSink({
      kafka,
      store: openObjectStore(lakeLocation(config)),
      registry,
      codec: createAvroCodec(registry),
      publish: (event) => commits.publish(event),
      limits: { maxRows: config.flushRows, maxBytes: config.flushBytes, maxAgeMs: config.flushInterval },
      budget,
      now: () => performance.now(),
      newId: randomUUID,
      telemetry: createLakeSinkTelemetry(telemetry, logger, () => budget.held()),
      logger,
      fatal,
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
      readiness: () => sink.readiness(),
    })
    return [clients, http, sink]
  },
})
