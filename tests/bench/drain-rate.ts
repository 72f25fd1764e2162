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
}

/**
 * The rate from `readyAt` (the last sample before it) to the commit after which `tail` or fewer of `total` were left: the rest may
 * wait for a flush interval, which is no work. It is a lower bound: joining the group and warming up are in it. Counting from the
 * first commit instead would flatter: by then other partitions have work done that they commit a moment later.
 */
export function drainRate(
  samples: readonly DrainSample[],
  { total, tail, readyAt }: { total: number; tail: number; readyAt: number },
): DrainRate {
  const from = samples.findLast(({ at }) => at <= readyAt) ?? samples[0]
  const to = samples.find(({ records }) => records >= Math.max(total - tail, 1))
  if (!from || !to || to.records <= from.records)
    throw new RangeError(`the samples do not show how ${total} were reached`)
  const records = to.records - from.records
  const perMillion = (seconds: number): number => (seconds / records) * 1e6
  return {
    perSecond: records / ((to.at - from.at) / 1000),
    cpuPerMillion: perMillion(to.cpuSeconds - from.cpuSeconds),
    brokerCpuPerMillion: perMillion(to.brokerCpuSeconds - from.brokerCpuSeconds),
  }
}
