import { formatHash } from '@mesh/shared/core/books'
import { parseMeshSrc } from '@mesh/shared/core/coordinate'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { describe, expect, test } from 'vitest'
import { readBooks } from '../../src/core/books-metadata.ts'
import { mortalKafka } from '../crash.ts'
import { orderBooks, ordersLog, srcOf } from '../orders.ts'
import { caughtUp, runStream, runToEnd } from '../process.ts'
import { createWorld, type World } from '../world.ts'

const RAW = 'raw.orders.v1'

async function ordersWorld(): Promise<{ world: World; state: StreamVersions }> {
  const world = await createWorld()
  const state = await world.apply('orders', { contract: (c) => ({ ...c, refine: { ...c.refine, joins: [] } }) })
  return { world, state }
}

/** Runs a process that dies at a point. Returns where, or null when it came to its end before. */
async function runAndDie(world: World, state: StreamVersions, at: number): Promise<string | null> {
  const mortal = mortalKafka(world.kafka, at)
  try {
    const running = await runStream(world, state, { kafka: mortal.kafka, maxChunkBytes: 2000 })
    await caughtUp(world, state, running)
    await running.stop()
  } catch (error) {
    if (!mortal.dead()) throw error
  }
  await mortal.bury()
  return mortal.place()
}

async function expectExact(world: World, state: StreamVersions, place: string): Promise<void> {
  const expected = await orderBooks(world, state)
  const books = readBooks((await world.committed('orders')).get(0)!.metadata, 'test')
  expect(books.counts, place).toEqual(expected.counts)
  expect(formatHash(books.hash), place).toBe(expected.hash)
  const emitted = expected.fates.flatMap((fate) => (fate.kind === 'ok' ? fate.records.map(srcOf) : []))
  // No output is missing, none lies there twice, and they lie in source order.
  expect(
    (await world.refinedOf('orders')).map(({ record }) => srcOf(record)),
    place,
  ).toEqual(emitted)
  const refused = expected.fates.flatMap((fate, i) => (fate.kind === 'deadLetter' ? [i] : []))
  const dead = (await world.deadLettersOf('orders')).map(({ record }) => parseMeshSrc(srcOf(record)).offset)
  expect(
    [...new Set(dead)].sort((a, b) => a - b),
    place,
  ).toEqual(refused)
  const last = (await world.commitEvents()).at(-1)
  expect(last, place).toMatchObject({ nextOffset: books.sourceNext, hash: expected.hash, counts: expected.counts })
}

describe('a process that is killed', { timeout: 600_000 }, () => {
  test('at any point loses nothing, writes nothing twice, and its books stay those of the whole log', async () => {
    const places: string[] = []
    for (let at = 1; ; at++) {
      const { world, state } = await ordersWorld()
      await world.post(RAW, ordersLog(1, 30))
      await runToEnd(world, state)
      await world.post(RAW, ordersLog(2, 30))
      const place = await runAndDie(world, state, at)
      await world.post(RAW, ordersLog(3, 10))
      await runToEnd(world, state)
      await expectExact(world, state, `killed at point ${at}: ${place}`)
      await world.close()
      if (place === null) break
      places.push(place)
    }
    expect(places).toEqual(
      expect.arrayContaining([
        'after send refined.orders.v1',
        'before send dead-letter.orders.v1',
        'after process raw.orders.v1',
        'before committed raw.orders.v1',
        'before send mesh.commits',
      ]),
    )
    expect(places.filter((place) => place === 'after send refined.orders.v1').length).toBeGreaterThan(2)
  })

  test('again and again, at a different point each time', async () => {
    for (const start of [1, 2, 3]) {
      const { world, state } = await ordersWorld()
      const deaths: string[] = []
      for (let at = start, round = 0; deaths.length < 25; at += 3, round++) {
        await world.post(RAW, ordersLog(round, 4))
        deaths.push((await runAndDie(world, state, 3 + (at % 26))) ?? 'came to its end')
      }
      await world.post(RAW, ordersLog(99, 4))
      await runToEnd(world, state)
      await expectExact(world, state, deaths.join(', '))
      await world.close()
    }
  })
})
