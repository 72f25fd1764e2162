import { median } from './table.ts'

/** What one client did in one role, in one round. `perCpuSecond` and `peakMb` are null where the process is not ours. */
export type RoleMeasurement = {
  readonly role: string
  readonly client: string
  readonly perSecond: number
  readonly perCpuSecond: number | null
  readonly peakMb: number | null
}

export const JAVA = "Kafka's tool"

/** A Markdown table, a row for each role and client: medians and extremes, and the ratio of medians to the role's first client. */
export function renderClients(measurements: readonly RoleMeasurement[]): string {
  const rows = [...Map.groupBy(measurements, ({ role }) => role)].flatMap(([role, all]) => {
    const byClient = [...Map.groupBy(all, ({ client }) => client)]
    const first = byClient[0]![1]
    return byClient.map(([client, own], i) => {
      const ratio = (of: (m: RoleMeasurement) => number | null): string =>
        i === 0 ? '' : (medianOf(own, of) / medianOf(first, of)).toFixed(2)
      const cells = [
        role,
        client,
        `${spread(own, (m) => m.perSecond)}`,
        ratio((m) => m.perSecond),
        spread(own, (m) => m.perCpuSecond),
        ratio((m) => m.perCpuSecond),
        whole(medianOf(own, (m) => m.peakMb)),
      ]
      return `| ${cells.join(' | ')} |`
    })
  })
  return [
    '| role | client | records/s | ratio | records per CPU second | ratio | peak MB |',
    '|---|---|--:|--:|--:|--:|--:|',
    ...rows,
  ].join('\n')
}

function valuesOf(measurements: readonly RoleMeasurement[], of: (m: RoleMeasurement) => number | null): number[] {
  return measurements.flatMap((measurement) => of(measurement) ?? [])
}

function medianOf(measurements: readonly RoleMeasurement[], of: (m: RoleMeasurement) => number | null): number {
  return median(valuesOf(measurements, of))
}

function spread(measurements: readonly RoleMeasurement[], of: (m: RoleMeasurement) => number | null): string {
  const values = valuesOf(measurements, of)
  if (values.length === 0) return ''
  return `${whole(median(values))} (${whole(Math.min(...values))}–${whole(Math.max(...values))})`
}

function whole(n: number): string {
  return Number.isNaN(n) ? '' : Math.round(n).toLocaleString('en-US')
}
