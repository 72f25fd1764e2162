import { describe, expect, it } from 'vitest'
import type { RecordBatch } from '../core/record.ts'
import { type KafkaProcesses, textRecord, textsOf, useTransactionWorld } from './transaction-world.ts'
import { until } from './until.ts'

/** How readers behave on topics that are written by transactions, in memory and on a real broker. */
export function describeCommittedReads(name: string, open: KafkaProcesses): void {
  describe(`KafkaPort's reads of transactions: ${name}`, () => {
    const world = useTransactionWorld(open)

    it('reads ranges that begin or end at a marker, and those that hold nothing else', async () => {
      const { kafka, owner, step, output } = world()
      const producer = await owner(kafka)
      await producer.transact(step(1, 'a'))
      await producer.transact(step(2, 'b'))
      await until(async () => (await kafka.admin.offsets(output))[0]!.lastStableOffset === 4, 'the markers')
      const read = async (from: number, to: number): Promise<unknown> => {
        const batches: RecordBatch[] = []
        await kafka.readRanges(output, [{ partition: 0, from, to }], (batch) => void batches.push(batch))
        return [textsOf(batches), batches[0]!.firstOffset, batches.at(-1)!.nextOffset]
      }
      expect(await read(1, 3)).toEqual([['b'], 1, 3])
      expect(await read(1, 2)).toEqual([[], 1, 2])
      expect(await read(3, 4)).toEqual([[], 3, 4])
      expect(await read(0, 4)).toEqual([['a', 'b'], 0, 4])
    })

    it('waits for a transaction that is open below the end of a range, and hides it once aborted', async () => {
      const { kafka, launch, owner, step, output } = world()
      const process = await launch()
      const producer = await owner(process.kafka)
      const release = process.hold('end-transaction')
      const open = producer.transact(step(1, 'a'))
      await until(async () => (await kafka.admin.offsets(output))[0]!.highWatermark === 1, 'what is open')
      const plain = await kafka.producer()
      await plain.send(output, [textRecord('behind')])
      const seen: string[] = []
      const range = { partition: 0, from: 0, to: 2 }
      const reading = kafka.readRanges(output, [range], (batch) => void seen.push(...textsOf([batch])))
      const follower = await kafka.follow(output, { from: 'start', onBatch: () => undefined, onFatal: () => undefined })
      await follower.caughtUp
      expect(seen).toEqual([])
      release()
      await reading
      expect(seen).toEqual(['behind'])
      await open
      await until(
        async () => (await world().readAll()).length > 0 && textsOf(await world().readAll()).length === 2,
        'both',
      )
      expect(textsOf(await world().readAll())).toEqual(['behind', 'a'])
      await follower.stop()
    })

    it('moves a group consumer over markers and aborted records, so that its commits reach the end', async () => {
      const { kafka, launch, owner, step, output, group } = world()
      const process = await launch()
      const producer = await owner(process.kafka)
      await producer.transact(step(1, 'a'))
      process.lose('end-transaction', 'before')
      await producer.transact(step(2, 'b'))
      const batches: RecordBatch[] = []
      const errors: unknown[] = []
      const consumer = kafka.consumer({
        groupId: `${group}-reader`,
        topics: [output],
        onFatal: (error) => errors.push(error),
        assign: () =>
          Promise.resolve({
            position: 0,
            handler: {
              process(batch) {
                if (batch.partition === 0) batches.push(batch)
                return Promise.resolve({ nextOffset: batch.nextOffset, metadata: '' })
              },
            },
          }),
      })
      await consumer.start()
      // a, its marker, the aborted b, its marker, b, its marker.
      await until(async () => (await kafka.admin.committed(`${group}-reader`, output)).get(0)?.offset === 6, 'the end')
      await consumer.stop()
      expect(errors).toEqual([])
      expect(textsOf(batches)).toEqual(['a', 'b'])
      expect(batches[0]!.firstOffset).toBe(0)
      for (const [i, batch] of batches.slice(1).entries()) expect(batch.firstOffset).toBe(batches[i]!.nextOffset)
    })

    it('says where the last stable offset and the high watermark are', async () => {
      const { kafka, launch, owner, step, output } = world()
      const process = await launch()
      const producer = await owner(process.kafka)
      await producer.transact(step(1, 'a'))
      const release = process.hold('end-transaction')
      const open = producer.transact(step(2, 'b', 'c'))
      await until(async () => (await kafka.admin.offsets(output))[0]!.highWatermark === 4, 'what is open')
      expect((await kafka.admin.offsets(output))[0]).toEqual({
        partition: 0,
        logStartOffset: 0,
        lastStableOffset: 2,
        highWatermark: 4,
      })
      release()
      await open
    })
  })
}
