import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseMeshSrc } from '@mesh/shared/core/coordinate'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { describe, expect, test } from 'vitest'
import { readBooks } from '../../src/core/books-metadata.ts'
import { mortalKafka } from '../crash.ts'
import { srcOf } from '../orders.ts'
import { caughtUp, runStream, runToEnd } from '../process.ts'
import { candidateOf, emitReplay, rawEnd, withRestarts } from '../replay.ts'
import { rowFates, rowsLog } from '../row-changes.ts'
import { createWorld, type World } from '../world.ts'

const RAW = 'raw.rows.v1'

async function rowsWorld(): Promise<{ world: World; state: StreamVersions }> {
  const world = await createWorld()
  return { world, state: await world.apply('rows') }
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

const loseDisk = (world: World): void => rmSync(join(world.cacheDir, 'keyed'), { recursive: true, force: true })

async function expectExact(world: World, place: string, version = 1): Promise<void> {
  const fates = rowFates((await world.rawOf('rows')).map(({ record }) => record))
  const expected = fates.flatMap((fate, offset) => (typeof fate === 'string' ? [] : [{ offset, row: fate }]))
  const refined = await world.refinedOf('rows', version)
  const rows = await Promise.all(
    refined.map(async ({ record }) => ({
      offset: parseMeshSrc(srcOf(record)).offset,
      row: record.value === null ? null : (await world.codec.decode(record.value)).record,
    })),
  )
  expect(rows, place).toEqual(expected)
  const { counts } = readBooks((await world.committed('rows', version)).get(0)!.metadata, 'test')
  expect(counts, place).toMatchObject({
    ok: expected.length,
    duplicate: fates.filter((fate) => fate === 'duplicate').length,
    deadLetter: fates.filter((fate) => fate === 'deadLetter').length,
  })
  const topic = await world.deadLettersOf('rows')
  const dead = version === 1 ? new Set(topic.map(({ record }) => parseMeshSrc(srcOf(record)).offset)) : null
  if (dead) expect(dead, place).toEqual(new Set(fates.flatMap((fate, i) => (fate === 'deadLetter' ? [i] : []))))
}

describe('a change stream', { timeout: 600_000 }, () => {
  test('gives each row its newest state once: later positions supersede, whatever the connector sends again', async () => {
    for (let seed = 1; seed <= 6; seed++) {
      const { world, state } = await rowsWorld()
      await world.post(RAW, rowsLog(seed, 200))
      await runToEnd(world, state)
      await expectExact(world, `seed ${seed}`)
      await world.close()
    }
  })

  test.each([
    ['with what it kept', false],
    ['with its disk lost', true],
  ])('killed at any point and started again %s gives what the whole log gives', async (_name, lost) => {
    const places: string[] = []
    for (let at = 1; ; at++) {
      const { world, state } = await rowsWorld()
      await world.post(RAW, rowsLog(1, 25))
      await runToEnd(world, state)
      await world.post(RAW, rowsLog(2, 25))
      const place = await runAndDie(world, state, at)
      if (lost) loseDisk(world)
      await world.post(RAW, rowsLog(3, 15))
      await runToEnd(world, state)
      await expectExact(world, `killed at point ${at}: ${place}`)
      await world.close()
      if (place === null) break
      places.push(place)
    }
    expect(places).toEqual(
      expect.arrayContaining([
        'after send refined.rows.v1',
        'after process raw.rows.v1',
        'before committed raw.rows.v1',
      ]),
    )
  })

  test('replayed into a candidate gives the same rows, byte for byte', async () => {
    const { world, state } = await rowsWorld()
    await world.post(RAW, rowsLog(4, 120))
    await runToEnd(world, state)
    const history = (await world.rawOf('rows')).slice(0, 80)
    const ready = await candidateOf(world, state, { ends: null, changeover: [80] })
    const ends = await emitReplay(world, 'rows', withRestarts(history, 30, 9), state)
    const candidate = await candidateOf(world, state, { ends, changeover: [80] })
    expect(ready.versions).toHaveLength(2)
    await runToEnd(world, candidate, { version: 2 })
    await world.post(RAW, rowsLog(5, 20))
    await runToEnd(world, candidate, { version: 2 })
    expect((await world.committed('rows', 2)).get(0)!.offset).toBe(await rawEnd(world, 'rows'))
    await expectExact(world, 'candidate', 2)
    await world.close()
  })
})
