import { MeshError } from '@mesh/shared/core/errors'
import { headerText } from '@mesh/shared/core/record'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { createObjectKeyStore } from '@mesh/shared/privacy/object-key-store'
import { ERASED } from '@mesh/shared/privacy/protect'
import { masterKeys, subjectName } from '@mesh/shared/privacy/seal'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { mortalKafka } from '../crash.ts'
import { caughtUp, codesOf, runStream, runToEnd, TEST_SECRET } from '../process.ts'
import { candidateOf, emitReplay } from '../replay.ts'
import { createWorld, type Log, type World } from '../world.ts'

const RAW = 'raw.people.v1'
const person = (n: number, userId: string | null) => ({
  key: String(n),
  id: `e${n}`,
  value: { n, userId, email: `${userId}@example.com`, phone: `030 ${1000 + n}` },
})

let world: World
let state: StreamVersions
beforeEach(async () => {
  world = await createWorld()
  state = await world.apply('people')
})
afterEach(() => world.close())

const rows = (log: Log) =>
  Promise.all(log.map(async ({ record }) => (await world.codec.decode(record.value!)).record as Record<string, string>))

describe('a stream with privacy rules', { timeout: 600_000 }, () => {
  test('writes nothing of them in the clear, in source order, whatever keys have to be made first', async () => {
    await world.post(
      RAW,
      Array.from({ length: 40 }, (_, n) => person(n, `user-${n % 7}`)),
    )
    await runToEnd(world, state)
    const log = await world.refinedOf('people')
    const refined = await rows(log)
    expect(refined.map(({ n }) => n)).toEqual(Array.from({ length: 40 }, (_, n) => n))
    for (const { email, phone } of refined) {
      expect(email).toMatch(/^mesh-enc\.1\./)
      expect(phone).toMatch(/^\d{3} \d{4}$/)
    }
    for (const { record } of log) expect(Buffer.from(record.value!).toString('latin1')).not.toContain('@example.com')
    // Equal values of one subject show as equal; those of two do not.
    expect(new Set(refined.map(({ email }) => email)).size).toBe(7)
  })

  test('a replay by another process gives equal bytes', async () => {
    await world.post(
      RAW,
      Array.from({ length: 12 }, (_, n) => person(n, `user-${n % 3}`)),
    )
    await runToEnd(world, state)
    await candidateOf(world, state, { ends: null, changeover: [12] })
    const ends = await emitReplay(world, 'people', await world.rawOf('people'), state)
    await runToEnd(world, await candidateOf(world, state, { ends, changeover: [12] }), { version: 2 })
    const bytesOf = (log: Log) => log.map(({ record }) => Buffer.from(record.value!).toString('hex'))
    expect(bytesOf(await world.refinedOf('people', 2))).toEqual(bytesOf(await world.refinedOf('people')))
  })

  test('killed at any point, no record is lost or written twice', async () => {
    for (let at = 1; ; at++) {
      const fresh = await createWorld()
      const applied = await fresh.apply('people')
      await fresh.post(
        RAW,
        Array.from({ length: 8 }, (_, n) => person(n, `user-${n}`)),
      )
      const mortal = mortalKafka(fresh.kafka, at)
      try {
        const running = await runStream(fresh, applied, { kafka: mortal.kafka, maxChunkBytes: 600 })
        await caughtUp(fresh, applied, running)
        await running.stop()
      } catch (error) {
        if (!mortal.dead()) throw error
      }
      await mortal.bury()
      await runToEnd(fresh, applied)
      const sources = (await fresh.refinedOf('people')).map(({ record }) => headerText(record.headers, 'mesh-src'))
      expect(sources, `killed at ${mortal.place()}`).toEqual(
        Array.from({ length: 8 }, (_, n) => `main;${applied.rawTopicId};0;${n};0`),
      )
      await fresh.close()
      if (mortal.place() === null) break
    }
  })

  test('an erased subject is not brought back by a replay, and the others are as they were', async () => {
    await world.post(RAW, [person(1, 'ada'), person(2, 'bob')])
    await runToEnd(world, state)
    await createObjectKeyStore(world.store).erase('people', subjectName(masterKeys(TEST_SECRET, ''), 'people', 'ada'))
    await candidateOf(world, state, { ends: null, changeover: [2] })
    const ends = await emitReplay(world, 'people', await world.rawOf('people'), state)
    await runToEnd(world, await candidateOf(world, state, { ends, changeover: [2] }), { version: 2 })
    const [before, after] = [
      await rows(await world.refinedOf('people')),
      await rows(await world.refinedOf('people', 2)),
    ]
    expect(after[0]).toMatchObject({ userId: 'ada', email: ERASED, phone: ERASED })
    expect(after[1]).toEqual(before[1])
  })

  test('a value without its subject is a dead letter', async () => {
    await world.post(RAW, [person(1, null), person(2, 'bob')])
    await runToEnd(world, state)
    const [letter] = await world.deadLettersOf('people')
    expect(headerText(letter!.record.headers, 'mesh-error-code')).toBe('MESH_PRIVACY_SUBJECT')
    expect(await world.refinedOf('people')).toHaveLength(1)
  })

  test('a missing secret keeps its own code from loading, and no other', async () => {
    const readSecret = () => Promise.reject(new MeshError('MESH_SECRET_MISSING', 'env:PEOPLE_KEY is not set or empty'))
    const codes = codesOf(world, { readSecret })
    await expect(codes.load(state.versions[0]!.bundles[0]!)).rejects.toMatchObject({ code: 'MESH_SECRET_MISSING' })
    expect((await codes.load(await world.bind('customers'))).contract.name).toBe('customers')
  })
})
