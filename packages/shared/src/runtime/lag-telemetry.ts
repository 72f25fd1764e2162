import type { PartitionLag } from '../kafka/consumer-lag.ts'
import type { Telemetry } from './telemetry.ts'

/**
 * How far behind a service's consumers are, asked for when the metrics are read. A broker that does not answer leaves the gauges
 * out, and the scrape goes on.
 */
export function exportLag({ meter }: Pick<Telemetry, 'meter'>, measure: () => Promise<readonly PartitionLag[]>): void {
  const lag = meter.createObservableGauge('mesh_consumer_lag', {
    description: 'Offsets up to the last stable offset that the group has not read, per partition of this process.',
  })
  const time = meter.createObservableGauge('mesh_consumer_time_lag_seconds', {
    description: 'How far behind in time at most; 0 without lag, absent until something has been read.',
  })
  const open = meter.createObservableGauge('mesh_open_transaction_age_seconds', {
    description: 'For how long the transaction at the last stable offset has been seen open; 0 when none is.',
  })
  meter.addBatchObservableCallback(
    async (result) => {
      for (const own of await measured(measure)) {
        const labels = { group: own.group, topic: own.topic, partition: own.partition }
        result.observe(lag, own.lag, labels)
        if (own.timeLagMs !== null) result.observe(time, own.timeLagMs / 1000, labels)
        result.observe(open, own.openTransactionMs / 1000, labels)
      }
    },
    [lag, time, open],
  )
}

const WAIT_MS = 3000

async function measured(measure: () => Promise<readonly PartitionLag[]>): Promise<readonly PartitionLag[]> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<readonly PartitionLag[]>((resolve) => {
    timer = setTimeout(resolve, WAIT_MS, [])
  })
  try {
    return await Promise.race([measure().catch(() => []), late])
  } finally {
    clearTimeout(timer)
  }
}
