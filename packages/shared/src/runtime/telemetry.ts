import type { Meter } from '@opentelemetry/api'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'

/** OpenTelemetry metrics of one process, readable as Prometheus text. Labels are bounded codes, never values of events. */
export type Telemetry = {
  readonly meter: Meter
  prometheus(): Promise<string>
  shutdown(): Promise<void>
}

export function createTelemetry(service: string): Telemetry {
  const exporter = new PrometheusExporter({ preventServerStart: true })
  const provider = new MeterProvider({ readers: [exporter] })
  const meter = provider.getMeter(service)
  const memory = meter.createObservableGauge('mesh_process_resident_memory_bytes', {
    description: 'Resident memory of the process.',
  })
  memory.addCallback((result) => result.observe(process.memoryUsage.rss(), { service }))
  const serializer = new PrometheusSerializer()
  return {
    meter,
    async prometheus() {
      const { resourceMetrics } = await exporter.collect()
      return serializer.serialize(resourceMetrics)
    },
    shutdown: () => provider.shutdown(),
  }
}
