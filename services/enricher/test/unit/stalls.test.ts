import { headerText } from '@mesh/shared/core/record'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { readBooks } from '../../src/core/books-metadata.ts'
import type { RefineCode } from '../../src/core/decide.ts'
import type { Stall } from '../../src/core/stall.ts'
import { createEnricherTelemetry } from '../../src/telemetry.ts'
import { caughtUp, runStream, runToEnd } from '../process.ts'
import { createWorld, type World } from '../world.ts'

const RAW = 'raw.orders.v1'
let world: World
let orders: StreamVersions
let stalls: (Stall | null)[]
const onStall = (_place: string, stall: Stall | null) => void stalls.push(stall)
beforeEach(async () => {
  world = await createWorld()
  stalls = []
  orders = await world.apply('orders', { contract: contractOf({}) })
})
afterEach(() => world.close())

const contractOf =
  (changes: Partial<RefineCode['contract']['refine']>) =>
  (c: RefineCode['contract']): RefineCode['contract'] => ({ ...c, refine: { ...c.refine, joins: [], ...changes } })
const order = (n: number, does?: string) => ({ key: `k${n % 5}`, id: `o${n}`, value: { n, ...(does && { does }) } })
const bad = (count: number, from: number) => Array.from({ length: count }, (_, i) => order(from + i, 'refuse'))
const good = (count: number, from: number) => Array.from({ length: count }, (_, i) => order(from + i))
const eventually = (check: () => Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 50_000, interval: 10 })
const committedNext = async () => (await world.committed('orders')).get(0)?.offset ?? 0

test('a stream whose records all die of one cause stands still before it has written them', async () => {
  await world.post(RAW, [...good(150, 0), ...bad(300, 150), ...good(10, 450)])
  const running = await runStream(world, orders, { maxChunkBytes: 4000, onStall })
  await eventually(async () => expect(stalls).toMatchObject([{ kind: 'breaker', code: 'ORDER_ODD' }]))
  // 151 of 301 is the first share above one half; what was decided with it and not yet written is not written either.
  const dead = (await world.deadLettersOf('orders')).length
  expect(dead).toBeGreaterThan(100)
  expect(dead).toBeLessThanOrEqual(150)
  await eventually(async () => expect(await committedNext()).toBe(150 + dead))
  await running.stop()
  expect(running.fatal()).toBeNull()
  expect(stalls.at(-1)).toBeNull()
})

test('a corrected bundle decides what was held back; nothing is lost or written twice', async () => {
  await world.post(RAW, [...good(150, 0), ...bad(300, 150)])
  const running = await runStream(world, orders, { maxChunkBytes: 4000, onStall })
  await eventually(async () => expect(stalls).toHaveLength(1))
  await running.stop()
  const from = await committedNext()
  const fixed = await world.bind('orders', { contract: contractOf({ breaker: { share: 1, window: 1000 } }) })
  const [version] = orders.versions
  const bundles = [...version!.bundles, { ...fixed, from: [from] }]
  await runToEnd(world, { ...orders, versions: [{ ...version!, bundles }] }, { onStall })
  const books = readBooks((await world.committed('orders')).get(0)!.metadata, 'test')
  expect(books.counts).toMatchObject({ ok: 150, deadLetter: 300 })
  expect(await world.deadLettersOf('orders')).toHaveLength(300)
})

test('few bad records among good ones do not trip it', async () => {
  const mixed = Array.from({ length: 1200 }, (_, n) => (n % 3 === 0 ? order(n, 'refuse') : order(n)))
  await world.post(RAW, mixed)
  await runToEnd(world, orders, { onStall })
  expect(stalls).toEqual([])
})

test('a decision that throws is no dead letter: the partition stands still, the others go on, and it heals by itself', async () => {
  let broken = true
  await world.post(RAW, [order(0), order(1), order(2)])
  const running = await runStream(world, orders, {
    onStall,
    code: (code) => ({
      ...code,
      get codeHeader() {
        if (broken) throw new Error('the state store is broken')
        return code.codeHeader
      },
    }),
  })
  await eventually(async () =>
    expect(stalls).toEqual([
      { kind: 'stopped', reason: expect.stringContaining('the state store is broken') as string },
    ]),
  )
  expect(await world.deadLettersOf('orders')).toEqual([])
  expect(await committedNext()).toBe(0)
  broken = false
  await caughtUp(world, orders, running)
  await running.stop()
  expect((await world.refinedOf('orders')).map(({ record }) => headerText(record.headers, 'ce_id'))).toEqual([
    'o0',
    'o1',
    'o2',
  ])
  expect(stalls.at(-1)).toBeNull()
})

test('a standing partition is an error in the log and a gauge by reason', () => {
  const logged: string[] = []
  const gauges = new Map<string, number>()
  const instrument = (name: string) => ({
    add: () => {},
    record: (value: number, labels: Record<string, string>) => void gauges.set(`${name} ${labels['reason']}`, value),
  })
  const meter = {
    createCounter: instrument,
    createGauge: instrument,
    createHistogram: instrument,
    createObservableGauge: () => ({ addCallback: () => {} }),
    addBatchObservableCallback: () => {},
  }
  const unused = { used: () => 0 }
  const log = (level: string) => (_fields: unknown, text: string) => void logged.push(`${level} ${text}`)
  const telemetry = createEnricherTelemetry(
    { meter } as never,
    { error: log('error'), warn: log('warn'), debug: log('debug') } as never,
    { dedupeBudget: unused, rowBudget: unused, tables: { sizes: () => [] } },
  )
  const where = { stream: 'orders', version: 1, partition: 0 }
  telemetry.stalled(where, { kind: 'breaker', code: 'X', share: 0.6, decided: 300 })
  expect(gauges.get('mesh_enricher_partition_stalled breaker')).toBe(1)
  telemetry.stalled(where, { kind: 'parked-full', records: 5 })
  expect(gauges.get('mesh_enricher_partition_stalled breaker')).toBe(0)
  telemetry.stalled(where, null)
  expect(gauges.get('mesh_enricher_partition_stalled parked-full')).toBe(0)
  expect(logged.map((line) => line.split(' ')[0])).toEqual(['error', 'warn', 'warn'])
})
