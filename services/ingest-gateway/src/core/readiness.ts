import type { Readiness } from '@mesh/shared/runtime/http-server'
import type { SourceStatus } from './source-status.ts'

/**
 * Ready = Kafka answers and the published streams are known. A stream that cannot be loaded, or a source that cannot be read, is shown
 * and does not stop the others.
 */
export function gatewayReadiness(
  kafka: { readonly reachable: boolean; readonly caughtUp: boolean; readonly error: string | null },
  streams: { readonly caughtUp: boolean; readonly failing: Readonly<Record<string, string>> },
  sources: Readonly<Record<string, SourceStatus>>,
): Readiness {
  return {
    ready: kafka.reachable && kafka.caughtUp && streams.caughtUp,
    detail: { kafka: kafka.error ?? (kafka.reachable ? 'reachable' : 'connecting'), failing: streams.failing, sources },
  }
}
