/** How far a service was at one moment. */
export type DrainSample = {
  /** Milliseconds on a monotonic clock. */
  readonly at: number
  /** Records committed (or written) so far. */
  readonly records: number
  /** CPU seconds the service and the broker had used by then. */
  readonly cpuSeconds: number
  readonly brokerCpuSeconds: number
}

export type DrainRate = {
  readonly perSecond: number
  readonly cpuPerMillion: number
  readonly brokerCpuPerMillion: number
  /** False: the run was too short for two commit points, and the whole of it was taken, from the first sample on. */
  readonly steady: boolean
}

/**
 * The rate between two commit points: from the first one to the one after which only `tail` or fewer of `total` were left. What is
 * left then may wait for a flush interval, which is no work.
 */
export function drainRate(
  samples: readonly DrainSample[],
  { total, tail }: { total: number; tail: number },
): DrainRate {
  const first = samples.find(({ records }) => records > 0)
  const last = samples.find(({ records }) => records >= Math.max(total - tail, 1))
  const end = samples.find(({ records }) => records >= total)
  const start = samples[0]
  if (!first || !last || !end || !start) throw new RangeError(`the samples do not reach ${total} records`)
  const steady = last.records > first.records
  return { ...between(steady ? first : start, steady ? last : end), steady }
}

function between(from: DrainSample, to: DrainSample): Omit<DrainRate, 'steady'> {
  const records = to.records - from.records
  const perMillion = (seconds: number): number => (seconds / records) * 1e6
  return {
    perSecond: records / ((to.at - from.at) / 1000),
    cpuPerMillion: perMillion(to.cpuSeconds - from.cpuSeconds),
    brokerCpuPerMillion: perMillion(to.brokerCpuSeconds - from.brokerCpuSeconds),
  }
}
