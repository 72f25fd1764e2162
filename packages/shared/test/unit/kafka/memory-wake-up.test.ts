import { expect, test } from 'vitest'
import { createMemoryKafka } from '../../../src/testing/memory-kafka.ts'
import { until } from '../../../src/testing/until.ts'

/** More than a fetch that finds nothing takes to come to rest. */
const TURNS = 40

test('a record reaches a reader at whatever moment of its last look it is written', async () => {
  for (let turns = 0; turns < TURNS; turns++) {
    const kafka = createMemoryKafka()
    await kafka.admin.ensureTopics([{ name: 't', partitions: 1, config: {} }])
    const producer = await kafka.producer()
    let read = 0
    const send = () => producer.send('t', [{ partition: 0, key: null, value: null, headers: [] }])
    await send()
    const follower = await kafka.follow('t', {
      from: 'start',
      onFatal: () => {},
      onBatch: ({ records }) => void (read += records.length),
    })
    await follower.caughtUp
    for (let turn = 0; turn < turns; turn++) await Promise.resolve()
    await send()
    await until(() => read === 2, `the record that was written ${turns} turns after a look`, 20_000)
    expect(kafka.log('t', 0)).toHaveLength(2)
    await kafka.close()
  }
})
