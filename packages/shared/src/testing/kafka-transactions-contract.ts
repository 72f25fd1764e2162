import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bytesText, type RecordBatch, type RecordToSend, textBytes } from '../core/record.ts'
import type { KafkaPort, TransactionalProducer, TransactionStep } from '../kafka/port.ts'
import { until } from './until.ts'

/** A process of its own in front of the same broker. */
export type KafkaProcess = {
  readonly kafka: KafkaPort
  /** Ends it without a word to the broker; nothing that it has under way needs to settle. */
  kill(): void
  /** Its next request of this kind is lost on the way there, or done and its answer lost. */
  lose(kind: 'produce' | 'end-transaction', when: 'before' | 'after'): void
  /** Its next request of this kind stands still on the way there, until the returned function loses it. */
  hold(kind: 'produce' | 'end-transaction'): () => void
  close(): Promise<void>
}

/** What every adapter's transactions hold, in memory and on a real broker. */
export function describeKafkaTransactions(name: string, open: () => Promise<() => Promise<KafkaProcess>>): void {
  describe(`KafkaPort's transactions: ${name}`, () => {
    const processes: KafkaProcess[] = []
    let start: () => Promise<KafkaProcess>
    let kafka: KafkaPort
    let input: string
    let output: string
    let group: string

    beforeEach(async () => {
      start = await open()
      kafka = (await launch()).kafka
      ;[input, output, group] = [`in-${randomUUID()}`, `out-${randomUUID()}`, `group-${randomUUID()}`]
      await kafka.admin.ensureTopics([input, output].map((topic) => ({ name: topic, partitions: 2, config: {} })))
    })
    afterEach(async () => {
      await Promise.all(processes.splice(0).map((process) => process.close()))
    })

    async function launch(): Promise<KafkaProcess> {
      const process = await start()
      processes.push(process)
      return process
    }
    const owner = (
      port: KafkaPort,
      more: { timeoutMs?: number; group?: string } = {},
    ): Promise<TransactionalProducer> => port.transactional({ transactionalId: `${group}-0`, group, ...more })
    const record = (text: string, partition = 0): RecordToSend => ({
      partition,
      key: null,
      value: textBytes(text),
      headers: [],
    })
    const step = (nextOffset: number, ...texts: string[]): TransactionStep => ({
      writes: [{ topic: output, records: texts.map((text) => record(text)) }],
      offset: { topic: input, partition: 0, progress: { nextOffset, metadata: `at ${nextOffset}` } },
    })
    /** All batches of a partition up to its end as it is at this moment. */
    async function readAll(partition = 0): Promise<RecordBatch[]> {
      const batches: RecordBatch[] = []
      const found = (await kafka.admin.offsets(output)).find((offsets) => offsets.partition === partition)!
      const range = { partition, from: 0, to: found.lastStableOffset }
      await kafka.readRanges(output, [range], (batch) => void batches.push(batch))
      return batches
    }
    const textsOf = (batches: readonly RecordBatch[]): string[] =>
      batches.flatMap((batch) => batch.records.map(({ value }) => bytesText(value!)))

    it('shows records of several partitions and the offset at once, with where they lie', async () => {
      const producer = await owner(kafka)
      expect(await producer.committed(input, 0)).toBeNull()
      const written = await producer.transact({
        writes: [
          { topic: output, records: [record('a'), record('x', 1), record('b')] },
          { topic: output, records: [record('c')] },
        ],
        offset: { topic: input, partition: 0, progress: { nextOffset: 7, metadata: 'books' } },
      })
      expect(written).toEqual([[0, 0, 1], [2]])
      expect(await producer.committed(input, 0)).toEqual({ offset: 7, metadata: 'books' })
      await until(async () => (await kafka.admin.offsets(output))[0]!.lastStableOffset === 4, 'the markers')
      expect(textsOf(await readAll(0))).toEqual(['a', 'b', 'c'])
      expect(textsOf(await readAll(1))).toEqual(['x'])
      expect((await kafka.admin.committed(group, input)).get(0)).toEqual({ offset: 7, metadata: 'books' })
    })

    it('goes on for many transactions, in order, also when calls overlap', async () => {
      const producer = await owner(kafka)
      const steps = Array.from({ length: 8 }, (_, i) => producer.transact(step(i + 1, `r${i}`)))
      const offsets = (await Promise.all(steps)).map(([own]) => own![0]!)
      // Each marker owns an offset.
      expect(offsets).toEqual([0, 2, 4, 6, 8, 10, 12, 14])
      expect(await producer.committed(input, 0)).toEqual({ offset: 8, metadata: 'at 8' })
    })

    it('delivers batches that tile over markers', async () => {
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
        const process = await launch()
        const producer = await owner(process.kafka, { timeoutMs: 20_000 })
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
      const process = await launch()
      const producer = await owner(process.kafka, { timeoutMs: 20_000 })
      process.lose('produce', when)
      await producer.transact(step(1, 'a'))
      await producer.transact(step(2, 'b'))
      await until(async () => textsOf(await readAll()).length === 2, 'two records')
      expect(textsOf(await readAll())).toEqual(['a', 'b'])
    })

    it('loses nothing when sends overlap and the answer to one is lost', async () => {
      const process = await launch()
      const producer = await process.kafka.producer()
      await producer.send(output, [record('first')])
      process.lose('produce', 'after')
      const sends = ['a', 'b'].map((text) => producer.send(output, [record(`${text}1`), record(`${text}2`)]))
      await Promise.all(sends)
      expect(textsOf(await readAll())).toEqual(['first', 'a1', 'a2', 'b1', 'b2'])
    })

    it('fences the former owner for good', async () => {
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
      const process = await launch()
      const former = await owner(process.kafka, { timeoutMs: 20_000 })
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
      const producer = await owner(kafka)
      const large = step(1, 'small', 'x'.repeat(9_000_000))
      await expect(producer.transact(large)).rejects.toMatchObject({ code: 'MESH_KAFKA_RECORD_TOO_LARGE' })
      await producer.transact(step(1, 'a'))
      await until(async () => textsOf(await readAll()).length === 1, 'the record')
      expect(textsOf(await readAll())).toEqual(['a'])
    })

    it('refuses a step whose outcome could not be told', async () => {
      const producer = await owner(kafka)
      await producer.transact(step(1, 'a'))
      await expect(producer.transact(step(1, 'b'))).rejects.toMatchObject({ code: 'MESH_INTERNAL' })
    })

    it.each(['before', 'after'] as const)(
      'asks what became of a step without an offset, lost %s its end',
      async (when) => {
        const process = await launch()
        const producer = await process.kafka.transactional({ transactionalId: `${group}-cursor`, timeoutMs: 20_000 })
        const asked: string[] = []
        const writes = [{ topic: output, records: [record('row'), record('cursor 1', 1)] }]
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

    it('lets a group consumer commit by transaction, and ends it when its partition was taken', async () => {
      const process = await launch()
      const errors: unknown[] = []
      let producer: TransactionalProducer | null = null
      const committed: number[] = []
      const consumer = process.kafka.consumer({
        groupId: group,
        topics: [input],
        tickMs: 10,
        onFatal: (error) => errors.push(error),
        async assign({ partition }) {
          const own = await process.kafka.transactional({ transactionalId: `${group}-${partition}`, group })
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
          const writes = [{ topic: output, records: [record(`up to ${progress.nextOffset}`)] }]
          await producer!.transact({ writes, offset: { topic, partition, progress } })
          return true
        },
      })
      await consumer.start()
      const plain = await kafka.producer()
      await plain.send(input, [record('one')])
      await until(() => committed.length === 1, 'the first commit')
      expect((await kafka.admin.committed(group, input)).get(0)).toEqual({ offset: 1, metadata: 'm' })
      await owner(kafka)
      await plain.send(input, [record('two')])
      await until(() => errors.length > 0, 'the failure')
      expect(errors).toMatchObject([{ code: 'MESH_KAFKA_FENCED' }])
      expect(textsOf(await readAll())).toEqual(['up to 1'])
      expect((await kafka.admin.committed(group, input)).get(0)?.offset).toBe(1)
      await consumer.stop()
    })
  })
}
