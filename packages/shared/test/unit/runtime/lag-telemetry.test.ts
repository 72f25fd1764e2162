import { expect, it } from 'vitest'
import { exportLag } from '../../../src/runtime/lag-telemetry.ts'
import { createTelemetry } from '../../../src/runtime/telemetry.ts'

const PARTITION = { group: 'g', topic: 't', partition: 3, position: 4, lastStableOffset: 10, lag: 6 }

async function metrics(measure: Parameters<typeof exportLag>[1]): Promise<string[]> {
  const telemetry = createTelemetry('test')
  exportLag(telemetry, measure)
  const text = await telemetry.prometheus()
  await telemetry.shutdown()
  return text.split('\n').filter((line) => /^mesh_(consumer|open)/.test(line))
}

it('exports lag, time lag and the age of an open transaction per partition', async () => {
  const lines = await metrics(() => Promise.resolve([{ ...PARTITION, timeLagMs: 1500, openTransactionMs: 20_000 }]))
  const labels = 'group="g",topic="t",partition="3"'
  expect(lines.map((line) => line.replace(/,otel_scope[^}]*/, ''))).toEqual([
    `mesh_consumer_lag{${labels}} 6`,
    `mesh_consumer_time_lag_seconds{${labels}} 1.5`,
    `mesh_open_transaction_age_seconds{${labels}} 20`,
  ])
})

it('leaves a time lag out that is not known, and everything when the broker does not answer', async () => {
  const unknown = await metrics(() => Promise.resolve([{ ...PARTITION, timeLagMs: null, openTransactionMs: 0 }]))
  expect(unknown.some((line) => line.startsWith('mesh_consumer_time_lag'))).toBe(false)
  expect(await metrics(() => Promise.reject(new Error('down')))).toEqual([])
})
