import { expect, it } from 'vitest'
import { createLagMeter, type ReadProgress } from '../../../src/kafka/consumer-lag.ts'
import { createMemoryKafka } from '../../../src/testing/memory-kafka.ts'
import { createVirtualScheduler } from '../../../src/testing/virtual-scheduler.ts'

const OFFSETS = { partition: 0, logStartOffset: 0, lastStableOffset: 10, highWatermark: 10 }

function meter(offsets: typeof OFFSETS, progress: Partial<ReadProgress>) {
  const clock = { now: 100_000 }
  const state = { offsets }
  const lag = createLagMeter({ offsets: () => Promise.resolve([state.offsets]) }, () => clock.now)
  lag.track('g', () => [{ topic: 't', partition: 0, position: 0, timestamp: null, ...progress }])
  return { clock, state, measure: async () => (await lag.measure())[0]! }
}

it('counts up to the last stable offset, so that an open transaction keeps nobody behind', async () => {
  const { measure } = meter({ ...OFFSETS, highWatermark: 12 }, { position: 10, timestamp: 1 })
  expect(await measure()).toMatchObject({ group: 'g', position: 10, lastStableOffset: 10, lag: 0, timeLagMs: 0 })
})

it('says how far behind in time, and nothing before something was read', async () => {
  expect(await meter(OFFSETS, { position: 4, timestamp: 70_000 }).measure()).toMatchObject({
    lag: 6,
    timeLagMs: 30_000,
  })
  expect(await meter(OFFSETS, { position: 4 }).measure()).toMatchObject({ lag: 6, timeLagMs: null })
})

it('tells for how long a transaction has been open, from when it was seen at the last stable offset', async () => {
  const { clock, state, measure } = meter({ ...OFFSETS, highWatermark: 12 }, { position: 10 })
  expect((await measure()).openTransactionMs).toBe(0)
  clock.now += 5000
  expect((await measure()).openTransactionMs).toBe(5000)
  state.offsets = { ...OFFSETS, lastStableOffset: 13, highWatermark: 15 }
  expect((await measure()).openTransactionMs).toBe(0)
  clock.now += 2000
  expect((await measure()).openTransactionMs).toBe(2000)
  state.offsets = { ...OFFSETS, lastStableOffset: 15, highWatermark: 15 }
  expect((await measure()).openTransactionMs).toBe(0)
})

it('measures the group consumers of a client, and no throwaway group', async () => {
  const scheduler = createVirtualScheduler()
  const kafka = createMemoryKafka({ scheduler })
  await kafka.admin.ensureTopics([{ name: 't', partitions: 1, config: {} }])
  const producer = await kafka.producer()
  const record = { partition: 0, key: null, value: null, headers: [], timestamp: scheduler.now() - 1000 }
  await producer.send('t', [record, record])
  const consumer = kafka.consumer({
    groupId: 'g',
    topics: ['t'],
    onFatal: () => undefined,
    assign: () => Promise.resolve({ position: 1, handler: { process: () => Promise.resolve(null) } }),
  })
  await consumer.start()
  const follower = await kafka.follow('t', { from: 'start', onBatch: () => undefined, onFatal: () => undefined })
  await scheduler.runUntil(() => consumer.positions().get('t/0') === 2, 'the record')
  expect(await kafka.lag()).toEqual([
    {
      group: 'g',
      topic: 't',
      partition: 0,
      position: 2,
      lastStableOffset: 2,
      lag: 0,
      timeLagMs: 0,
      openTransactionMs: 0,
    },
  ])
  await follower.stop()
  await consumer.stop()
  expect(await kafka.lag()).toEqual([])
})
