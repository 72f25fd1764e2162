export type BareResult = { readonly perSecond: number; readonly cpuSeconds: number; readonly peakMb: number }

/** Starts counting this process's time; the returned function ends it. */
export function meter(): (records: number) => BareResult {
  const startedAt = performance.now()
  const before = process.cpuUsage()
  return (count) => {
    const { user, system } = process.cpuUsage(before)
    return {
      perSecond: count / ((performance.now() - startedAt) / 1000),
      cpuSeconds: (user + system) / 1e6,
      peakMb: process.resourceUsage().maxRSS / 1024,
    }
  }
}
