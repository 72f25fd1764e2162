import { describe, expect, it } from 'vitest'
import type { TransactionalProducer } from '../kafka/port.ts'
import { type KafkaProcesses, textRecord, textsOf, useTransactionWorld } from './transaction-world.ts'
import { until } from './until.ts'

/** What every adapter's transactions hold, in memory and on a real broker. */
export function describeKafkaTransactions(name: string, open: KafkaProcesses): void {
  describe(`KafkaPort's transactions: ${name}`, () => {
    const world = useTransactionWorld(open)

    it('shows records of several partitions and the offset at once, with where they lie', async () => {
      const { kafka, input, output, group, owner, readAll } = world()
      const producer = await owner(kafka)
      expect(await producer.committed(input, 0)).toBeNull()
      const written = await producer.transact({
        writes: [
          { topic: output, records: [textRecord('a'), textRecord('x', 1), textRecord('b')] },
          { topic: output, records: [textRecord('c')] },
        ],
        offset: { topic: input, partition: 0, progress: { nextOffset: 7, metadata: 'books' } },
      })
      expect(written).toEqual([[0, 0, 1], [2]])
      expect(await producer.committed(input, 0)).toEqual({ offset: 7, metadata: 'books' })
      const ends = async (): Promise<number[]> =>
        (await kafka.admin.offsets(output)).map(({ lastStableOffset }) => lastStableOffset)
      await until(async () => String(await ends()) === '4,2', 'the markers of both partitions')
      expect(textsOf(await readAll(0))).toEqual(['a', 'b', 'c'])
      expect(textsOf(await readAll(1))).toEqual(['x'])
      expect((await kafka.admin.committed(group, input)).get(0)).toEqual({ offset: 7, metadata: 'books' })
    })

    it('goes on for many transactions, in order, also when calls overlap', async () => {
      const { kafka, input, owner, step } = world()
      const producer = await owner(kafka)
      const steps = Array.from({ length: 8 }, (_, i) => producer.transact(step(i + 1, `r${i}`)))
      const offsets = (await Promise.all(steps)).map(([own]) => own![0]!)
      // Each marker owns an offset.
      expect(offsets).toEqual([0, 2, 4, 6, 8, 10, 12, 14])
      expect(await producer.committed(input, 0)).toEqual({ offset: 8, metadata: 'at 8' })
    })

    it('delivers batches that tile over markers', async () => {
      const { kafka, output, owner, step, readAll } = world()
      const producer = await owner(kafka)
      await producer.transact(step(1, 'a', 'b'))
      await producer.transact(step(2, 'c'))
      await until(async () => (await kafka.admin.offsets(output))[0]!.lastStableOffset === 5, 'the markers')
      const batches = await readAll()
      expect(batches[0]!.firstOffset).toBe(0)
      for (const [i, batch] of batches.entries()) {
        if (i > 0) expect(batch.firstOffset).toBe(batches[i - 1]!.nextOffset)
      }
      expect(batches.at(-1)!.nextOffset).toBe(5)
      expect(batches.flatMap((batch) => batch.records.map(({ offset }) => offset))).toEqual([0, 1, 3])
    })

    it.each(['before', 'after'] as const)(
      'writes one copy when the end of a transaction is lost %s it',
      async (when) => {
        const { input, launch, owner, step, readAll } = world()
        const process = await launch()
        const producer = await owner(process.kafka)
        await producer.transact(step(1, 'a'))
        process.lose('end-transaction', when)
        await producer.transact(step(2, 'b'))
        await producer.transact(step(3, 'c'))
        expect(await producer.committed(input, 0)).toEqual({ offset: 3, metadata: 'at 3' })
        await until(async () => textsOf(await readAll()).length === 3, 'three records')
        expect(textsOf(await readAll())).toEqual(['a', 'b', 'c'])
      },
    )

    it.each(['before', 'after'] as const)('writes one copy when a produce request is lost %s it', async (when) => {
      const { launch, owner, step, readAll } = world()
      const process = await launch()
      const producer = await owner(process.kafka)
      process.lose('produce', when)
      await producer.transact(step(1, 'a'))
      await producer.transact(step(2, 'b'))
      await until(async () => textsOf(await readAll()).length === 2, 'two records')
      expect(textsOf(await readAll())).toEqual(['a', 'b'])
    })

    it('loses nothing when sends overlap and the answer to one is lost', async () => {
      const { output, launch, readAll } = world()
      const process = await launch()
      const producer = await process.kafka.producer()
      await producer.send(output, [textRecord('first')])
      process.lose('produce', 'after')
      const sends = ['a', 'b'].map((text) => producer.send(output, [textRecord(`${text}1`), textRecord(`${text}2`)]))
      await Promise.all(sends)
      expect(textsOf(await readAll())).toEqual(['first', 'a1', 'a2', 'b1', 'b2'])
    })

    it('fences the former owner for good', async () => {
      const { kafka, input, launch, owner, step, readAll } = world()
      const former = await owner(kafka)
      await former.transact(step(1, 'a'))
      const next = await owner((await launch()).kafka)
      expect(await next.committed(input, 0)).toEqual({ offset: 1, metadata: 'at 1' })
      await next.transact(step(2, 'b'))
      for (let i = 0; i < 2; i++)
        await expect(former.transact(step(2, 'zombie'))).rejects.toMatchObject({ code: 'MESH_KAFKA_FENCED' })
      await next.transact(step(3, 'c'))
      await until(async () => textsOf(await readAll()).length === 3, 'three records')
      expect(textsOf(await readAll())).toEqual(['a', 'b', 'c'])
    })

    it('leaves the id to an owner that has moved on while an outcome was unknown', async () => {
      const { kafka, input, output, launch, owner, step, readAll } = world()
      const process = await launch()
      const former = await owner(process.kafka)
      await former.transact(step(1, 'a'))
      const release = process.hold('end-transaction')
      const lost = former.transact(step(2, 'zombie'))
      const outcome = expect(lost).rejects.toMatchObject({ code: 'MESH_KAFKA_FENCED' })
      await until(async () => (await kafka.admin.offsets(output))[0]!.highWatermark === 3, 'what is open')
      const next = await owner(kafka)
      await next.transact({
        ...step(2, 'b'),
        offset: { topic: input, partition: 0, progress: { nextOffset: 2, metadata: 'other' } },
      })
      release()
      await outcome
      await until(async () => textsOf(await readAll()).length === 2, 'two records')
      expect(textsOf(await readAll())).toEqual(['a', 'b'])
    })

    it('shows nothing of a process that died in a transaction, and goes on from what was committed', async () => {
      const { kafka, input, output, launch, owner, step, readAll } = world()
      const process = await launch()
      const dying = await owner(process.kafka)
      await dying.transact(step(1, 'a'))
      process.hold('end-transaction')
      void dying.transact(step(2, 'never')).catch(() => undefined)
      await until(async () => (await kafka.admin.offsets(output))[0]!.highWatermark === 3, 'what is open')
      process.kill()
      expect((await kafka.admin.offsets(output))[0]!.lastStableOffset).toBe(2)
      expect(textsOf(await readAll())).toEqual(['a'])
      const next = await owner(kafka)
      expect(await next.committed(input, 0)).toEqual({ offset: 1, metadata: 'at 1' })
      await until(async () => (await kafka.admin.offsets(output))[0]!.lastStableOffset === 4, 'the abort marker')
      const batches = await readAll()
      expect([textsOf(batches), batches.at(-1)!.nextOffset]).toEqual([['a'], 4])
      await next.transact(step(2, 'b'))
    })

    it('refuses a record that is too large, writes nothing of its step and goes on', async () => {
      const { kafka, owner, step, readAll } = world()
      const producer = await owner(kafka, { compression: 'none' })
      const large = step(1, 'small', 'x'.repeat(9_000_000))
      await expect(producer.transact(large)).rejects.toMatchObject({ code: 'MESH_KAFKA_RECORD_TOO_LARGE' })
      await producer.transact(step(1, 'a'))
      await until(async () => textsOf(await readAll()).length === 1, 'the record')
      expect(textsOf(await readAll())).toEqual(['a'])
    })

    it('refuses a step whose outcome could not be told', async () => {
      const { kafka, owner, step } = world()
      const producer = await owner(kafka)
      await producer.transact(step(1, 'a'))
      await expect(producer.transact(step(1, 'b'))).rejects.toMatchObject({ code: 'MESH_INTERNAL' })
    })

    it.each(['before', 'after'] as const)(
      'asks what became of a step without an offset, lost %s its end',
      async (when) => {
        const { output, group, launch, readAll } = world()
        const process = await launch()
        const options = { transactionalId: `${group}-cursor`, topics: [output] }
        const producer = await process.kafka.transactional(options)
        const asked: string[] = []
        const writes = [{ topic: output, records: [textRecord('row'), textRecord('cursor 1', 1)] }]
        process.lose('end-transaction', when)
        await producer.transact({
          writes,
          offset: null,
          async decide() {
            const found = textsOf(await readAll(1)).includes('cursor 1') ? 'committed' : 'absent'
            asked.push(found)
            return found
          },
        })
        expect(asked).toEqual([when === 'before' ? 'absent' : 'committed'])
        await until(async () => textsOf(await readAll()).length === 1, 'the row')
        expect(textsOf(await readAll())).toEqual(['row'])
        process.lose('end-transaction', 'before')
        const foreign = producer.transact({ writes, offset: null, decide: () => Promise.resolve('foreign') })
        await expect(foreign).rejects.toMatchObject({ code: 'MESH_KAFKA_FENCED' })
      },
    )

    it('lets a group consumer commit by transaction; one that is fenced and keeps its partition begins again, once', async () => {
      const { kafka, input, output, group, launch, owner, readAll } = world()
      const process = await launch()
      const errors: unknown[] = []
      let producer: TransactionalProducer | null = null
      const committed: number[] = []
      const consumer = process.kafka.consumer({
        groupId: group,
        topics: [input],
        tickMs: 10,
        fencedMs: 200,
        onFatal: (error) => errors.push(error),
        async assign({ partition }) {
          const options = { transactionalId: `${group}-${partition}`, group, topics: [output] }
          const own = await process.kafka.transactional(options)
          if (partition === 0) producer = own
          return {
            position: (await own.committed(input, partition))?.offset ?? 0,
            handler: {
              process: ({ nextOffset }) => Promise.resolve({ nextOffset, metadata: 'm' }),
              committed: ({ nextOffset }) => Promise.resolve(void committed.push(nextOffset)),
            },
          }
        },
        async commit({ topic, partition }, progress) {
          const writes = [{ topic: output, records: [textRecord(`up to ${progress.nextOffset}`)] }]
          await producer!.transact({ writes, offset: { topic, partition, progress } })
          return true
        },
      })
      await consumer.start()
      const plain = await kafka.producer()
      await plain.send(input, [textRecord('one')])
      await until(() => committed.length === 1, 'the first commit')
      // It shows once its marker is written, which the coordinator does in the background.
      await until(async () => (await kafka.admin.committed(group, input)).has(0), 'the offset')
      expect((await kafka.admin.committed(group, input)).get(0)).toEqual({ offset: 1, metadata: 'm' })
      await owner(kafka)
      await plain.send(input, [textRecord('two')])
      await until(() => committed.length === 2, 'the second commit')
      expect(errors).toEqual([])
      await owner(kafka)
      await plain.send(input, [textRecord('three')])
      await until(() => errors.length > 0, 'the failure')
      expect(errors).toMatchObject([{ code: 'MESH_KAFKA_FENCED' }])
      expect(textsOf(await readAll())).toEqual(['up to 1', 'up to 2'])
      expect((await kafka.admin.committed(group, input)).get(0)?.offset).toBe(2)
      await consumer.stop()
    })
  })
}
