import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bytesText, header, type KafkaRecord, type RecordBatch, type RecordToSend, textBytes } from '../core/record.ts'
import type { AssignedPartition, GroupConsumer, KafkaPort, PartitionHandler } from '../kafka/port.ts'
import { until } from './until.ts'

export type KafkaUnderTest = { readonly kafka: KafkaPort; close(): Promise<void> }

/** A broker shows altered settings a moment after the controller has them. */
const SHOWN = { timeout: 55_000 }

/** The suite every adapter of `KafkaPort` passes, in memory and on a real broker. Topics and groups are fresh for each test. */
export function describeKafkaPort(name: string, open: () => Promise<KafkaUnderTest>): void {
  describe(`KafkaPort: ${name}`, () => {
    let under: KafkaUnderTest
    let kafka: KafkaPort
    let topic: string
    const consumers: GroupConsumer[] = []

    beforeEach(async () => {
      under = await open()
      kafka = under.kafka
      topic = `contract-${randomUUID()}`
      await kafka.admin.ensureTopics([{ name: topic, partitions: 2, config: {} }])
    })
    afterEach(async () => {
      await Promise.all(consumers.splice(0).map((consumer) => consumer.stop()))
      await under.close()
    })

    const record = (text: string, more: Partial<RecordToSend> = {}): RecordToSend => ({
      partition: 0,
      key: textBytes('k'),
      value: textBytes(text),
      headers: [],
      ...more,
    })
    const send = async (...texts: string[]): Promise<number[]> => {
      const producer = await kafka.producer()
      return producer.send(
        topic,
        texts.map((text) => record(text)),
      )
    }
    const read = async (from: number, to: number, partition = 0): Promise<RecordBatch[]> => {
      const batches: RecordBatch[] = []
      await kafka.readRanges(topic, [{ partition, from, to }], (batch) => void batches.push(batch))
      return batches
    }
    const records = (batches: readonly RecordBatch[]): KafkaRecord[] => batches.flatMap((batch) => batch.records)
    const texts = (batches: readonly RecordBatch[]): (string | null)[] =>
      records(batches).map((r) => r.value && bytesText(r.value))

    type Seen = { assigned: AssignedPartition[]; batches: RecordBatch[]; errors: unknown[] }
    const join = async (
      groupId: string,
      handler: (seen: Seen) => PartitionHandler,
      position: (assigned: AssignedPartition) => number = (assigned) => assigned.committed?.offset ?? 0,
    ): Promise<{ seen: Seen; consumer: GroupConsumer }> => {
      const seen: Seen = { assigned: [], batches: [], errors: [] }
      const consumer = kafka.consumer({
        groupId,
        topics: [topic],
        tickMs: 10,
        onFatal: (error) => seen.errors.push(error),
        assign(assigned) {
          seen.assigned.push(assigned)
          return Promise.resolve({ position: position(assigned), handler: handler(seen) })
        },
      })
      consumers.push(consumer)
      await consumer.start()
      return { seen, consumer }
    }
    const committing =
      (metadata = 'm') =>
      (seen: Seen): PartitionHandler => ({
        process(batch) {
          seen.batches.push(batch)
          return Promise.resolve({ nextOffset: batch.nextOffset, metadata })
        },
      })

    it('answers each send with the offsets of its records, in order', async () => {
      const producer = await kafka.producer()
      const both = [record('a'), record('x', { partition: 1 }), record('b')]
      expect(await producer.send(topic, both)).toEqual([0, 0, 1])
      const offsets = await Promise.all(['c', 'd', 'e'].map((text) => producer.send(topic, [record(text)])))
      expect(offsets).toEqual([[2], [3], [4]])
      expect(texts(await read(0, 5))).toEqual(['a', 'b', 'c', 'd', 'e'])
    })

    it('keeps null apart from empty, header order, repetition and timestamps', async () => {
      const producer = await kafka.producer()
      const headers = [
        header('b', '1'),
        { name: 'a', value: null },
        { name: 'a', value: new Uint8Array() },
        header('b', '2'),
      ]
      await producer.send(topic, [
        { partition: 0, key: null, value: null, headers, timestamp: 0 },
        { partition: 0, key: new Uint8Array(), value: new Uint8Array(), headers: [], timestamp: 1_600_000_000_123 },
      ])
      const [first, second] = records(await read(0, 2))
      expect(first).toMatchObject({ offset: 0, timestamp: 0, key: null, value: null })
      expect(first!.headers.map((h) => [h.name, h.value && bytesText(h.value)])).toEqual([
        ['b', '1'],
        ['a', null],
        ['a', ''],
        ['b', '2'],
      ])
      expect([second!.timestamp, second!.key?.byteLength, second!.value?.byteLength]).toEqual([1_600_000_000_123, 0, 0])
    })

    it.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)(
      'reads back what was compressed with %s',
      async (compression) => {
        const producer = await kafka.producer({ compression })
        const text = 'long enough to be worth compressing '.repeat(200)
        await producer.send(topic, [record(text), record('short')])
        expect(texts(await read(0, 2))).toEqual([text, 'short'])
      },
    )

    it('refuses a record that is too large and still takes its neighbours', async () => {
      const limited = `${topic}-limited`
      await kafka.admin.ensureTopics([{ name: limited, partitions: 1, config: { 'max.message.bytes': '4194304' } }])
      const producer = await kafka.producer({ compression: 'none' })
      const large = producer.send(limited, [record('x'.repeat(6_000_000))])
      const small = producer.send(limited, [record('small')])
      await expect(large).rejects.toMatchObject({ code: 'MESH_KAFKA_RECORD_TOO_LARGE' })
      await expect(small).resolves.toEqual([0])
    })

    it('hands every partition to assign, also one without records', async () => {
      await send('a')
      const { seen } = await join(randomUUID(), committing())
      await until(() => seen.assigned.length === 2, 'both partitions to be assigned')
      const ids = await kafka.admin.topicIds([topic])
      expect(
        seen.assigned.map((a) => [a.partition, a.committed, a.logStartOffset, a.highWatermark, a.topicId]).sort(),
      ).toEqual([
        [0, null, 0, 1, ids.get(topic)],
        [1, null, 0, 0, ids.get(topic)],
      ])
    })

    it('resumes from the commit with its metadata', async () => {
      await send('a', 'b')
      const group = randomUUID()
      const metadata = JSON.stringify({ books: 'x'.repeat(3500) })
      const first = await join(group, committing(metadata))
      await until(async () => (await kafka.admin.committed(group, topic)).get(0)?.offset === 2, 'the commit')
      await first.consumer.stop()
      await send('c')
      const second = await join(group, committing(metadata))
      await until(() => second.seen.batches.length > 0, 'the next batch')
      expect(second.seen.assigned.find((a) => a.partition === 0)?.committed).toEqual({ offset: 2, metadata })
      expect(texts(second.seen.batches)).toEqual(['c'])
    })

    it('starts where assign says, whatever is committed', async () => {
      await send('a', 'b', 'c')
      const group = randomUUID()
      const first = await join(group, committing())
      await until(async () => (await kafka.admin.committed(group, topic)).get(0)?.offset === 3, 'the commit')
      await first.consumer.stop()
      const { seen } = await join(group, committing(), (assigned) => (assigned.partition === 0 ? 1 : 0))
      await until(() => texts(seen.batches).length === 2, 'two records')
      expect(texts(seen.batches)).toEqual(['b', 'c'])
    })

    it('ticks without records and commits what a tick returns', async () => {
      const group = randomUUID()
      await join(group, () => ({
        process: () => Promise.resolve(null),
        tick: () => Promise.resolve({ nextOffset: 0, metadata: 'from a tick' }),
      }))
      await until(
        async () => (await kafka.admin.committed(group, topic)).get(1)?.metadata === 'from a tick',
        'the commit of a tick',
      )
    })

    it('gives each partition to one of two members and loses nothing in between', async () => {
      const group = randomUUID()
      const producer = await kafka.producer()
      const first = await join(group, committing())
      await producer.send(topic, [record('a'), record('x', { partition: 1 })])
      await until(async () => (await kafka.admin.committed(group, topic)).size === 2, 'the first commits')
      const second = await join(group, committing())
      await until(
        () => first.consumer.positions().size === 1 && second.consumer.positions().size === 1,
        'one partition each',
      )
      await producer.send(topic, [record('b'), record('y', { partition: 1 })])
      await until(async () => {
        const committed = await kafka.admin.committed(group, topic)
        return committed.get(0)?.offset === 2 && committed.get(1)?.offset === 2
      }, 'both commits')
      expect(texts([...first.seen.batches, ...second.seen.batches]).sort()).toEqual(['a', 'b', 'x', 'y'])
    })

    it('commits nothing after a handler has thrown, and says so once', async () => {
      await send('a', 'b')
      const group = randomUUID()
      const { seen } = await join(group, () => ({ process: () => Promise.reject(new Error('broken')) }))
      await until(() => seen.errors.length > 0, 'the failure')
      await send('c')
      expect(seen.errors).toMatchObject([{ message: 'broken' }])
      expect((await kafka.admin.committed(group, topic)).get(0)).toBeUndefined()
    })

    it('never overlaps work of one partition', async () => {
      let busy = 0
      let most = 0
      const work = async (): Promise<null> => {
        most = Math.max(most, ++busy)
        await new Promise((resolve) => setImmediate(resolve))
        busy--
        return null
      }
      let ticks = 0
      await join(
        randomUUID(),
        (seen) => ({
          process: (batch) => {
            seen.batches.push(batch)
            return work()
          },
          tick: () => {
            ticks++
            return work()
          },
        }),
        () => 0,
      )
      // Both partitions tick; one handler object per partition, so two at most.
      for (let i = 0; i < 20; i++) await send(`r${i}`)
      await until(() => ticks > 10, 'ticks')
      expect(most).toBeLessThanOrEqual(2)
    })

    it('stops loudly when the position is not in the log', async () => {
      await send('a')
      const group = randomUUID()
      const { seen } = await join(group, committing(), () => 900)
      await until(() => seen.errors.length > 0, 'the failure')
      expect(seen.errors[0]).toMatchObject({ code: 'MESH_KAFKA_OFFSET_OUT_OF_RANGE' })
      expect((await kafka.admin.committed(group, topic)).size).toBe(0)
    })

    it('drains handlers when it stops', async () => {
      await send('a')
      const group = randomUUID()
      let held = 0
      const { consumer } = await join(group, () => ({
        process(batch) {
          held = batch.nextOffset
          return Promise.resolve(null)
        },
        close: () => Promise.resolve({ nextOffset: held, metadata: 'last words' }),
      }))
      await until(() => held === 1, 'the record')
      await consumer.stop()
      expect((await kafka.admin.committed(group, topic)).get(0)).toEqual({ offset: 1, metadata: 'last words' })
    })

    it('flows after resume when assigned paused', async () => {
      await send('a')
      const seen: string[] = []
      const consumer = kafka.consumer({
        groupId: randomUUID(),
        topics: [topic],
        onFatal: (error) => seen.push(String(error)),
        assign: () =>
          Promise.resolve({
            position: 0,
            paused: true,
            handler: {
              process(batch) {
                seen.push(...batch.records.map((r) => bytesText(r.value!)))
                return Promise.resolve(null)
              },
            },
          }),
      })
      consumers.push(consumer)
      await consumer.start()
      await until(() => consumer.positions().size === 2, 'the assignment')
      expect(seen).toEqual([])
      consumer.resume(topic, 0)
      await until(() => seen.length > 0, 'the record')
      expect(seen).toEqual(['a'])
    })

    it('reads bounded ranges exactly and refuses those outside the log', async () => {
      await send('a', 'b', 'c', 'd')
      expect(texts(await read(1, 3))).toEqual(['b', 'c'])
      expect(await read(2, 2)).toEqual([])
      await expect(read(0, 99)).rejects.toMatchObject({ code: 'MESH_KAFKA_OFFSET_OUT_OF_RANGE' })
    })

    it('follows a topic from its start and says when it has caught up', async () => {
      await send('a', 'b')
      const seen: string[] = []
      const follower = await kafka.follow(topic, {
        from: 'start',
        onBatch: (batch) => void seen.push(...batch.records.map((r) => bytesText(r.value!))),
        onFatal: (error) => seen.push(String(error)),
      })
      await follower.caughtUp
      expect(seen).toEqual(['a', 'b'])
      await send('c')
      await until(() => seen.length === 3, 'the next record')
      await follower.stop()
    })

    it('follows the partitions that are added, from where they were left, and no other', async () => {
      const in1 = (value: string) => ({ ...record(value), partition: 1 })
      const producer = await kafka.producer()
      await producer.send(topic, [record('a'), in1('x'), in1('y')])
      const seen: string[] = []
      const onBatch = (batch: RecordBatch) => void seen.push(...batch.records.map((r) => bytesText(r.value!)))
      const follower = await kafka.followPartitions(topic, (error) => seen.push(String(error)))
      await follower.add(1, { from: 1, onBatch })
      expect(seen).toEqual(['y'])
      await follower.remove(1)
      await producer.send(topic, [in1('z')])
      await follower.add(0, { from: null, onBatch })
      expect(seen).toEqual(['y', 'a'])
      await follower.add(1, { from: 2, onBatch })
      expect(seen).toEqual(['y', 'a', 'z'])
      await producer.send(topic, [in1('later')])
      await until(() => seen.length === 4, 'the next record')
      await expect(follower.add(9, { from: null, onBatch })).rejects.toMatchObject({ place: `${topic}/9` })
      await follower.stop()
    })

    it('alters the settings of a topic that are named, and no other', async () => {
      const limited = `${topic}-settings`
      const config = { 'retention.ms': '86400000', 'max.message.bytes': '2000000' }
      await kafka.admin.ensureTopics([{ name: limited, partitions: 1, config }])
      await expect.poll(() => kafka.admin.topicConfig(limited), SHOWN).toEqual(config)
      await kafka.admin.alterTopicConfig(limited, { 'retention.ms': '3600000', 'max.message.bytes': null })
      await expect.poll(() => kafka.admin.topicConfig(limited), SHOWN).toEqual({ 'retention.ms': '3600000' })
    })

    it('finds offsets by time and topics by id', async () => {
      const producer = await kafka.producer()
      await producer.send(topic, [record('a', { timestamp: 1000 }), record('b', { timestamp: 2000 })])
      expect(Object.fromEntries(await kafka.admin.offsetsAtTime(topic, 1500))).toEqual({ 0: 1, 1: 0 })
      const ids = await kafka.admin.topicIds([topic, 'contract-none'])
      expect([...ids.keys()]).toEqual([topic])
      expect(await kafka.admin.partitionCount(topic)).toBe(2)
    })
  })
}
