import { join } from 'node:path'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import { createHttpServer } from '@mesh/shared/runtime/http-server'
import { runService, type Service } from '@mesh/shared/runtime/service'
import { readJobsFolder } from '@mesh/shared/schema/jobs-folder'
import { jobRoutes } from './adapters/http-api.ts'
import { SYSTEM_CLOCK } from './adapters/system-clock.ts'
import { CONFIG, ENGINE_ENVIRONMENT, ENV_PREFIX } from './config.ts'
import { connectLineage } from './connect-lineage.ts'
import { createEngines } from './engines.ts'
import { createJobTrigger } from './service.ts'
import { createLineageTelemetry, createTriggerTelemetry } from './telemetry.ts'

await runService({
  name: 'job-trigger',
  envPrefix: ENV_PREFIX,
  config: CONFIG,
  async build({ config, logger, telemetry, fatal }) {
    const kafka = connectKafka({ brokers: config.kafkaBrokers, clientId: 'mesh-job-trigger' })
    const producer = await kafka.producer()
    const clients: Service = {
      start: async () => {},
      async stop() {
        await producer.close()
        await kafka.close()
      },
    }
    const trigger = createJobTrigger({
      kafka,
      producer,
      engines: createEngines(config, { env: ENGINE_ENVIRONMENT, logger, admin: kafka.admin }),
      // The streams' folders are not here to look at: a job over a stream that is not applied waits for it.
      readFiles: () => readJobsFolder(join(config.projectDir, 'jobs'), null),
      clock: SYSTEM_CLOCK,
      now: () => performance.now(),
      jitter: Math.random,
      telemetry: createTriggerTelemetry(telemetry, logger),
      fatal,
      settings: config,
    })
    const http = createHttpServer({
      host: config.httpHost,
      port: config.httpPort,
      telemetry,
      logger,
      readiness: () => trigger.readiness(),
      routes: jobRoutes(trigger),
    })
    const lineage = connectLineage(config, {
      kafka,
      producer: await kafka.producer(),
      telemetry: createLineageTelemetry(telemetry, logger),
    })
    // After the trigger, which creates the topics.
    return [clients, http, trigger, lineage]
  },
})
