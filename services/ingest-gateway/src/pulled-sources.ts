import type { KafkaPort } from '@mesh/shared/kafka/port'
import { createGuardedHttp } from '@mesh/shared/runtime/guarded-http'
import { connectForeign } from './adapters/foreign-kafka.ts'
import { type Config, readPorts, readSecret } from './config.ts'
import type { StreamDirectory } from './core/ports.ts'
import { createSourceReaders } from './source-readers.ts'
import { createSources, type Sources } from './sources.ts'
import type { GatewayTelemetry } from './telemetry.ts'

export type PulledSourcesOptions = {
  readonly config: Config
  readonly kafka: KafkaPort
  readonly directory: StreamDirectory
  readonly telemetry: GatewayTelemetry
  readonly fatal: (error: unknown) => void
}

/** Composes what the gateway pulls itself: polls, Redis, topics of other clusters. */
export function createPulledSources({ config, kafka, directory, telemetry, fatal }: PulledSourcesOptions): Sources {
  const http = createGuardedHttp({ allowedCidrs: config.outboundAllowedCidrs, ports: readPorts(config) })
  const sources = createSources({
    directory,
    createReader: createSourceReaders({
      kafka,
      http,
      readSecret,
      maxEventBytes: config.maxEventBytes,
      now: Date.now,
      random: Math.random,
      connectForeign: (source) => connectForeign(source, readSecret),
      onLost: telemetry.sourceLost,
    }),
    hooks: telemetry.sourceHooks,
    now: Date.now,
    onFatal: fatal,
  })
  return {
    ...sources,
    async stop() {
      try {
        await sources.stop()
      } finally {
        await http.close()
      }
    },
  }
}
