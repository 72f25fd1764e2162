/** One hop's measurements over the repeats of a run. */
export type Series = {
  readonly hop: string
  /** What the rate counts: events, records, rows. */
  readonly unit: string
  readonly perSecond: readonly number[]
  /** Peak resident memory of the process in MB, over all repeats; null for what runs inside another process. */
  readonly peakMb: number | null
  /** The ceiling this hop is held against: name of another series. */
  readonly against: string | null
  /** CPU seconds of the process per million records, by repeat. */
  readonly cpuPerMillion: readonly number[]
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** A Markdown table: median (min–max), ratio of medians to the ceiling, CPU seconds per million, peak memory. */
export function renderTable(series: readonly Series[]): string {
  const medians = new Map(series.map((s) => [s.hop, median(s.perSecond)]))
  const rows = series.map((s) => {
    const own = medians.get(s.hop)!
    const ceiling = s.against === null ? null : medians.get(s.against)
    const ratio = ceiling ? `${(own / ceiling).toFixed(2)} of ${s.against}` : ''
    const cpu = s.cpuPerMillion.length > 0 ? median(s.cpuPerMillion).toFixed(1) : ''
    return `| ${s.hop} | ${thousands(own)} ${s.unit}/s | ${thousands(Math.min(...s.perSecond))}–${thousands(Math.max(...s.perSecond))} | ${ratio} | ${cpu} | ${s.peakMb === null ? '' : Math.round(s.peakMb)} |`
  })
  return [
    '| hop | median | min–max | ratio | CPU s per million | peak MB |',
    '|---|---|---|---|---|---|',
    ...rows,
  ].join('\n')
}

function thousands(n: number): string {
  return Math.round(n).toLocaleString('en-US')
}
