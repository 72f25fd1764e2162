import { randomBytes } from 'node:crypto'
import { uuidV7 } from '@mesh/shared/core/uuid-v7'
import { connectKafka, producerClient } from '@mesh/shared/kafka/connect-kafka'
import { lakeLocation, openObjectStore } from '@mesh/shared/lake/open-object-store'
import { createHttpServer } from '@mesh/shared/runtime/http-server'
import { runService } from '@mesh/shared/runtime/service'
import { getBundle } from '@mesh/shared/schema/bundle'
import { gatewayRoutes } from './adapters/http.ts'
import { createKafkaLink } from './adapters/kafka-link.ts'
import { createRawWriter } from './adapters/raw-writer.ts'
import { createStreamDirectory } from './adapters/stream-directory.ts'
import { CONFIG, CONFIG_PREFIX, checkConfig, readSecret } from './config.ts'
import { createConnectSources } from './connect-sources.ts'
import { createAdmission } from './core/admission.ts'
import { readApiKeys } from './core/api-keys.ts'
import { gatewayReadiness } from './core/readiness.ts'
import { createPulledSources } from './pulled-sources.ts'
import { createIngestGateway } from './service.ts'
import { createGatewayTelemetry } from './telemetry.ts'

await runService({
  name: 'ingest-gateway',
  envPrefix: CONFIG_PREFIX,
  config: CONFIG,
  build: async ({ config, logger, telemetry: metrics, fatal }) => {
    checkConfig(config)
    const admission = createAdmission(config.maxInFlightBytes)
    const telemetry = createGatewayTelemetry(metrics, logger, admission.inFlightBytes)
    const store = openObjectStore(lakeLocation(config))
    const kafka = connectKafka({
      brokers: config.kafkaBrokers,
      clientId: 'mesh-ingest-gateway',
      producer: producerClient(config.kafkaProducer),
    })
    const directory = createStreamDirectory({
      getBundle: (hash) => getBundle(store, hash),
      onLoaded(stream, bundle) {
        telemetry.streamLoaded(stream, bundle)
        pulled.refresh()
      },
      onFailing: telemetry.streamFailing,
      retryMs: 2000,
    })
    const pulled = createPulledSources({
      config,
      kafka,
      directory,
      telemetry,
      wishOf: (source) => connectors.wishOf(source),
      fatal,
    })
    const link = createKafkaLink({
      kafka,
      async onVersions(all) {
        await directory.update(all)
        pulled.refresh()
      },
      onLost: telemetry.kafkaLost,
      onBack: telemetry.kafkaBack,
      onFatal: fatal,
    })
    const gateway = createIngestGateway({
      config,
      apiKeys: readApiKeys(config.apiKeys),
      admission,
      directory,
      writer: createRawWriter(link.producer),
      readSecret,
      telemetry,
      now: Date.now,
      freshId: () => uuidV7(Date.now(), randomBytes(10)),
    })
    const { connectors, audits, routes } = createConnectSources({ config, kafka, link, directory, telemetry, pulled })
    const http = createHttpServer({
      host: config.httpHost,
      port: config.httpPort,
      telemetry: metrics,
      logger,
      readiness: () =>
        gatewayReadiness(link.state(), directory.state(), {
          sources: pulled.status(),
          connectors: connectors.view().sources,
        }),
      routes: gatewayRoutes({ gateway, directory, config, more: routes }),
    })
    const closing = { start: async () => {}, stop: () => kafka.close() }
    // HTTP stops first and drains; then nothing is being written.
    return [closing, { start: async () => {}, stop: directory.stop }, link, connectors, audits, pulled, http]
  },
})
