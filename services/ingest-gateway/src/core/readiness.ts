import type { Readiness } from '@mesh/shared/runtime/http-server'
import type { SourceStatus } from './source-status.ts'
import type { SourceReport } from './sources/source-types.ts'

/**
 * Ready = Kafka answers and the published streams are known. A stream that cannot be loaded, or a source in trouble, is shown and does
 * not stop the others. `sources` are those that the gateway reads itself, `connectors` those that Kafka Connect reads.
 */
export function gatewayReadiness(
  kafka: { readonly reachable: boolean; readonly caughtUp: boolean; readonly error: string | null },
  streams: { readonly caughtUp: boolean; readonly failing: Readonly<Record<string, string>> },
  pulled: { readonly sources: Readonly<Record<string, SourceStatus>>; readonly connectors: readonly ConnectorView[] },
): Readiness {
  return {
    ready: kafka.reachable && kafka.caughtUp && streams.caughtUp,
    detail: {
      kafka: kafka.error ?? (kafka.reachable ? 'reachable' : 'connecting'),
      failing: streams.failing,
      sources: pulled.sources,
      connectors: connectorDetail(pulled.connectors),
    },
  }
}

type ConnectorView = Pick<SourceReport, 'source' | 'state' | 'problems' | 'lagBytes'>

function connectorDetail(connectors: readonly ConnectorView[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    connectors.map(({ source, state, problems, lagBytes }) => [
      source,
      { state, lagBytes, problems: problems.map(({ code, message }) => `${code} ${message}`) },
    ]),
  )
}
