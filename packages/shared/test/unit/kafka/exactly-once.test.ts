import { expect, it } from 'vitest'
import { bytesText, type RecordToSend, textBytes } from '../../../src/core/record.ts'
import type { GroupConsumer, TransactionalProducer } from '../../../src/kafka/port.ts'
import { createMemoryKafka, type MemoryClient, type MemoryKafka } from '../../../src/testing/memory-kafka.ts'
import { createVirtualScheduler, type VirtualScheduler } from '../../../src/testing/virtual-scheduler.ts'

const GROUP = 'copier'
const PARTITIONS = 2
const RECORDS = 60
const RUNS = Number(process.env['MESH_SIM_RUNS'] ?? 150)
const FIRST_SEED = Number(process.env['MESH_SIM_SEED'] ?? 1)

/** A small generator of its own, so that a seed means the same run everywhere. */
function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A process that copies `in` to `out` exactly once: outputs and offset of a batch in one transaction. */
async function startCopier(client: MemoryClient, next: () => number, onFatal: () => void): Promise<GroupConsumer> {
  const producers = new Map<number, TransactionalProducer>()
  const pending = new Map<number, RecordToSend[]>()
  const consumer = client.consumer({
    groupId: GROUP,
    topics: ['in'],
    tickMs: 100,
    onFatal,
    async assign({ topic, partition }) {
      const transactionalId = `${GROUP}-${partition}`
      const producer = await client.transactional({ transactionalId, group: GROUP, topics: ['out'], timeoutMs: 8000 })
      producers.set(partition, producer)
      pending.set(partition, [])
      let position = (await producer.committed(topic, partition))?.offset ?? 0
      return {
        position,
        handler: {
          process(batch) {
            const copies = batch.records.map(({ key, value, headers }) => ({ partition, key, value, headers }))
            pending.get(partition)!.push(...copies)
            position = batch.nextOffset
            return Promise.resolve(next() < 0.7 ? { nextOffset: position, metadata: '' } : null)
          },
          tick: () =>
            Promise.resolve(pending.get(partition)!.length > 0 ? { nextOffset: position, metadata: '' } : null),
          close: () => producer.close().then(() => null),
        },
      }
    },
    async commit({ topic, partition }, progress) {
      const records = pending.get(partition)!
      pending.set(partition, [])
      const writes = records.length === 0 ? [] : [{ topic: 'out', records }]
      await producers.get(partition)!.transact({ writes, offset: { topic, partition, progress } })
      return true
    },
  })
  await consumer.start()
  return consumer
}

type World = { kafka: MemoryKafka; scheduler: VirtualScheduler; next: () => number; healed: boolean; started: number }

/** Keeps two copiers alive; each is killed, paused or lives on as the seed has it. A fatal one is started again. */
function supervise(world: World): void {
  const { kafka, scheduler, next } = world
  const launch = (): void => {
    const client = kafka.client(`copier ${++world.started}`)
    let over = false
    const restart = (): void => {
      if (over) return
      over = true
      client.kill()
      scheduler.after(300, launch)
    }
    startCopier(client, next, restart).catch(restart)
    const live = (): void => {
      if (over || world.healed) return
      const dice = next()
      if (dice < 0.12) return restart()
      if (dice < 0.3) {
        client.pause()
        const length = next() < 0.5 ? 500 : 15_000
        scheduler.after(length, () => client.resume())
        return void scheduler.after(length + 500, live)
      }
      scheduler.after(200 + next() * 2000, live)
    }
    scheduler.after(500, live)
  }
  launch()
  launch()
}

async function run(seed: number): Promise<{ world: World; copied: string[][] }> {
  const scheduler = createVirtualScheduler()
  const next = random(seed)
  const kafka = createMemoryKafka({ scheduler })
  const world: World = { kafka, scheduler, next, healed: false, started: 0 }
  const topics = ['in', 'out'].map((name) => ({ name, partitions: PARTITIONS, config: {} }))
  await kafka.admin.ensureTopics(topics)
  kafka.latency(({ client }) => (client === 'port' ? 0 : Math.floor(next() * 20)))
  kafka.markerDelay(() => Math.floor(next() * 40))
  kafka.fault(({ client }) => {
    if (world.healed || client === 'port' || next() > 0.06) return null
    return (['before', 'after', 'late'] as const)[Math.floor(next() * 3)]!
  })
  supervise(world)
  const producer = await kafka.producer()
  for (let i = 0; i < RECORDS; i++) {
    const value = textBytes(String(i))
    scheduler.after(
      i * 150,
      () => void producer.send('in', [{ partition: i % PARTITIONS, key: null, value, headers: [] }]),
    )
    if (next() < 0.05) scheduler.after(i * 150, () => kafka.rebalance(GROUP))
  }
  scheduler.after(RECORDS * 150 + 3000, () => {
    world.healed = true
  })
  const copied = (): string[][] =>
    Array.from({ length: PARTITIONS }, (_, p) => kafka.log('out', p).map(({ value }) => bytesText(value!)))
  await scheduler.runUntil(
    () => world.healed && copied().flat().length >= RECORDS,
    `all copies of seed ${seed}`,
    600_000,
  )
  // Whatever a zombie or a late request could still add has its time.
  const end = scheduler.now() + 60_000
  await scheduler.runUntil(() => scheduler.now() >= end, 'a quiet minute', 120_000)
  return { world, copied: copied() }
}

it(`copies every record once and in order, whatever is lost, late, killed or paused (${RUNS} seeds)`, async () => {
  let started = 0
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
    const { world, copied } = await run(seed)
    started += world.started
    const expected = Array.from({ length: PARTITIONS }, (_, p) =>
      Array.from({ length: RECORDS / PARTITIONS }, (_none, i) => String(i * PARTITIONS + p)),
    )
    expect(copied, `seed ${seed}`).toEqual(expected)
    for (let p = 0; p < PARTITIONS; p++) {
      const committed = (await world.kafka.admin.committed(GROUP, 'in')).get(p)
      expect(committed?.offset, `seed ${seed}`).toBe(RECORDS / PARTITIONS)
    }
  }
  // The seeds did kill: more processes were started than the two of every run.
  expect(started).toBeGreaterThan(3 * RUNS)
}, 120_000)
