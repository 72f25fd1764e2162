import type { KafkaPort } from '@mesh/shared/kafka/port'
import { createGuardedHttp } from '@mesh/shared/runtime/guarded-http'
import { connectForeign } from './adapters/foreign-kafka.ts'
import { type Config, readPorts, readSecret } from './config.ts'
import type { StreamDirectory } from './core/ports.ts'
import { forgetPositions } from './forget-positions.ts'
import { createSourceReaders } from './source-readers.ts'
import { createSources, type Sources, type SourcesOptions } from './sources.ts'
import type { GatewayTelemetry } from './telemetry.ts'

export type PulledSourcesOptions = {
  readonly config: Config
  readonly kafka: KafkaPort
  readonly directory: StreamDirectory
  readonly telemetry: GatewayTelemetry
  /** What an operator wants of a source; null while it is not known. */
  readonly wishOf: SourcesOptions['wishOf']
  readonly fatal: (error: unknown) => void
}

export type PulledSources = Sources & {
  /** Forgets how far a source has been read; resolves with the keys of the positions. */
  forget(source: string): Promise<readonly string[]>
}

/** Composes what the gateway pulls itself: polls, Redis, topics of other clusters. */
export function createPulledSources({
  config,
  kafka,
  directory,
  telemetry,
  wishOf,
  fatal,
}: PulledSourcesOptions): PulledSources {
  const outbound = { allowedCidrs: config.outboundAllowedCidrs, ports: readPorts(config) }
  const http = createGuardedHttp(outbound)
  const opened = [http]
  const sources = createSources({
    directory,
    createReader: createSourceReaders({
      kafka,
      http,
      openHttp(identity) {
        const own = createGuardedHttp({ ...outbound, identity })
        opened.push(own)
        return own
      },
      readSecret,
      maxEventBytes: config.maxEventBytes,
      now: Date.now,
      random: Math.random,
      connectForeign: (source) => connectForeign(source, readSecret),
      onLost: telemetry.sourceLost,
    }),
    wishOf,
    hooks: telemetry.sourceHooks,
    now: Date.now,
    onFatal: fatal,
  })
  return {
    ...sources,
    forget: (source) => sources.aside(source, () => forgetPositions(kafka, source, Date.now)),
    async stop() {
      try {
        await sources.stop()
      } finally {
        await Promise.all(opened.map((one) => one.close()))
      }
    },
  }
}
