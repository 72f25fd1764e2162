import { createCommitPublisher } from '@mesh/shared/kafka/commit-events'
import { connectKafka, producerClient } from '@mesh/shared/kafka/connect-kafka'
import { lakeLocation, openObjectStore } from '@mesh/shared/lake/open-object-store'
import { createHttpServer } from '@mesh/shared/runtime/http-server'
import { exportLag } from '@mesh/shared/runtime/lag-telemetry'
import { runService, type Service } from '@mesh/shared/runtime/service'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import { createDuckDbFile } from './adapters/duckdb-file.ts'
import { createDuckDbWarehouse } from './adapters/duckdb-warehouse.ts'
import { createWriterLock } from './adapters/writer-lock.ts'
import { CONFIG, ENV_PREFIX, warehousePath } from './config.ts'
import { createWarehouseSink } from './service.ts'
import { createSinkTelemetry } from './telemetry.ts'

await runService({
  name: 'warehouse-sink',
  envPrefix: ENV_PREFIX,
  config: CONFIG,
  async build({ config, logger, telemetry, fatal }) {
    const path = warehousePath(config.warehouseUrl)
    const sinkTelemetry = createSinkTelemetry(telemetry, logger)
    const file = createDuckDbFile(path, {
      lockWaitMs: config.lockWait,
      memoryLimit: config.duckdbMemory,
      threads: config.duckdbThreads,
      onWaiting: () => sinkTelemetry.waiting(),
    })
    const kafka = connectKafka({
      brokers: config.kafkaBrokers,
      clientId: 'mesh-warehouse-sink',
      producer: producerClient(config.kafkaProducer),
    })
    exportLag(telemetry, () => kafka.lag())
    const producer = await kafka.producer()
    const commits = createCommitPublisher(producer)
    const clients: Service = {
      start: async () => {},
      async stop() {
        await producer.close()
        await kafka.close()
      },
    }
    const sink = createWarehouseSink({
      kafka,
      store: openObjectStore(lakeLocation(config)),
      codec: createAvroCodec(createSchemaRegistry({ url: config.registryUrl })),
      warehouse: createDuckDbWarehouse(file),
      publish: (event) => commits.publish(event),
      limits: { maxRows: config.flushRows, maxBytes: config.flushBytes, maxAgeMs: config.flushInterval },
      now: () => performance.now(),
      telemetry: sinkTelemetry,
      logger,
      fatal,
    })
    const http = createHttpServer({
      host: config.httpHost,
      port: config.httpPort,
      telemetry,
      logger,
      readiness: () => sink.readiness(),
    })
    return [createWriterLock(path), clients, http, sink]
  },
})
