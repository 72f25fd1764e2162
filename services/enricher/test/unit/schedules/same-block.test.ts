import { PARKED_LANE, parseMeshSrc } from '@mesh/shared/core/coordinate'
import { header, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { enricherGroup, rawTopic, refinedTopic } from '@mesh/shared/core/topics'
import { expect, test } from 'vitest'
import { srcOf } from '../../orders.ts'
import { readOutputs } from '../../reader.ts'
import { expectExact } from '../../schedule/exact.ts'
import { startProcess } from '../../schedule/process.ts'
import { setStage } from '../../schedule/run.ts'
import { type Faults, STREAM } from '../../schedule/stream.ts'
import { seeded } from '../../seeded.ts'

const FAULTS: Faults = { guarantee: 'at-least-once', zombies: true, waits: true }

const order = (partition: number, n: number, customer: string): RecordToSend => ({
  partition,
  key: textBytes(`k${n}`),
  value: textBytes(JSON.stringify({ n, c: customer })),
  headers: [header('ce_id', `id-${n}`)],
})

/**
 * The one way to two writers of the same block of lane `parked`: a process is stopped with its release on its lips, another one
 * reads where the partition stands and releases more, in another order. A reader must take one of them whole.
 */
test('of two processes that release the same records from the same books, readers take the first one whole', async () => {
  const stage = await setStage(FAULTS)
  const { kafka, scheduler, state } = stage
  const begin = scheduler.now()
  // The second record's row comes first.
  const rows = new Map([
    ['c1', begin + 3000],
    ['c2', begin + 1000],
  ])
  const fatal: unknown[] = []
  const launch = (name: string) => {
    const client = kafka.client(name)
    const onFatal = (error: unknown): void => {
      fatal.push(error)
      client.kill()
      scheduler.after(300, () => launch(`${name}'`))
    }
    startProcess(client, { ...stage, random: seeded(1), rows, onFatal }).catch(onFatal)
    return client
  }

  const first = launch('first')
  // Its ticks come between those of the first one.
  scheduler.after(130, () => launch('second'))
  const producer = await kafka.producer()
  const post = async (...records: RecordToSend[]) => producer.send(rawTopic(STREAM), records)
  scheduler.after(500, () => void post(order(0, 0, 'c1'), order(0, 1, 'c2'), order(1, 2, 'c2')))
  let stopped = false
  kafka.fault(({ client, kind }) => {
    if (stopped || client !== 'first' || kind !== 'produce' || scheduler.now() < begin + 1000) return null
    stopped = true
    first.pause()
    const arrives = Promise.withResolvers<null>()
    // The second one has read the partition and has not yet come to its next tick.
    scheduler.after(begin + 7300 - scheduler.now(), () => arrives.resolve(null))
    scheduler.after(begin + 9000 - scheduler.now(), () => first.resume())
    return arrives.promise
  })

  await scheduler.runUntil(() => scheduler.now() > begin + 15_000, 'all of it')
  const log = kafka.log(refinedTopic(STREAM, 1), 0)
  expect(log.every((record) => parseMeshSrc(srcOf(record)).lane === PARKED_LANE)).toBe(true)
  const committed = await kafka.admin.committed(enricherGroup(STREAM, 1), rawTopic(STREAM))
  expect(committed.get(0)?.offset).toBe(2)
  // Both wrote: three outputs of two records, and a reader takes two.
  expect(log.length).toBeGreaterThan(2)
  expect(readOutputs(log).outputs.map(({ offset }) => offset)).toEqual([1, 0])
  await expectExact({ kafka, state, code: stage.code, rows, started: 2, fatal }, FAULTS)
})
