/** One hop of one repeat. */
export type Measurement = {
  readonly hop: string
  /** What the rate counts. */
  readonly unit: 'events' | 'records' | 'rows'
  readonly perSecond: number
  /** CPU seconds of the hop's process per million of what it counts; null where the process is not ours to look into. */
  readonly cpuPerMillion: number | null
  /** The same for the broker, in the same stretch of time. */
  readonly brokerCpuPerMillion: number
  /** Peak resident memory of the hop's process in MB. */
  readonly peakMb: number | null
}

/** What a hop is held against: names of other hops of the same run. */
export type Ceilings = Readonly<Record<string, readonly string[]>>

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The smallest value that at least `q` of all are not above. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? Number.NaN
}

/**
 * A Markdown table, one row for each hop in the order of its first measurement: median and extremes over the repeats,
 * ratio of medians to each ceiling, median CPU seconds per million, highest peak memory.
 */
export function renderTable(measurements: readonly Measurement[], ceilings: Ceilings): string {
  const byHop = Map.groupBy(measurements, ({ hop }) => hop)
  const medians = new Map([...byHop].map(([hop, all]) => [hop, median(all.map((each) => each.perSecond))]))
  const rows = [...byHop].map(([hop, all]) => {
    const rates = all.map((each) => each.perSecond)
    const ratios = (ceilings[hop] ?? []).flatMap((name) => {
      const ceiling = medians.get(name)
      return ceiling === undefined ? [] : [`${(medians.get(hop)! / ceiling).toFixed(2)} of ${name}`]
    })
    const cells = [
      hop,
      `${thousands(medians.get(hop)!)} ${all[0]!.unit}/s`,
      `${thousands(Math.min(...rates))}–${thousands(Math.max(...rates))}`,
      ratios.join(', '),
      oneDigit(all.flatMap((each) => each.cpuPerMillion ?? [])),
      oneDigit(all.map((each) => each.brokerCpuPerMillion)),
      highest(all.flatMap((each) => each.peakMb ?? [])),
    ]
    return `| ${cells.join(' | ')} |`
  })
  return [
    '| hop | median | min–max | ratio | CPU s per million | broker CPU s per million | peak MB |',
    '|---|--:|--:|---|--:|--:|--:|',
    ...rows,
  ].join('\n')
}

function thousands(n: number): string {
  return Math.round(n).toLocaleString('en-US')
}

function oneDigit(values: readonly number[]): string {
  return values.length === 0 ? '' : median(values).toFixed(1)
}

function highest(values: readonly number[]): string {
  return values.length === 0 ? '' : String(Math.round(Math.max(...values)))
}
