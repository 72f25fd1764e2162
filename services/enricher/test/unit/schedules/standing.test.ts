import { MeshError } from '@mesh/shared/core/errors'
import { header, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { enricherGroup, rawTopic } from '@mesh/shared/core/topics'
import type { MemoryClient } from '@mesh/shared/testing/memory-kafka'
import { expect, test } from 'vitest'
import { expectExact } from '../../schedule/exact.ts'
import { startProcess } from '../../schedule/process.ts'
import { setStage } from '../../schedule/run.ts'
import { type Guarantee, PARTITIONS, STREAM } from '../../schedule/stream.ts'
import { seeded } from '../../seeded.ts'

const order = (n: number): RecordToSend => ({
  partition: n % PARTITIONS,
  key: textBytes(`k${n}`),
  value: textBytes(JSON.stringify({ n })),
  headers: [header('ce_id', `id-${n}`)],
})

/** It stands, it is stopped beyond its session, and goes on for some seconds without knowing that the group has expelled it. */
test.each<Guarantee>(['at-least-once', 'exactly-once'])(
  'a standing partition that another process has gone on with is not opened by its former owner, %s',
  async (guarantee) => {
    const faults = { guarantee, zombies: true, waits: false }
    const stage = await setStage(faults)
    const { kafka, scheduler, state } = stage
    const begin = scheduler.now()
    const rows = new Map<string, number>()
    const fatal: unknown[] = []
    const requests: string[] = []
    let broken = true
    const disk = (): void => {
      if (broken) throw new MeshError('MESH_STATE_DAMAGED', 'the disk does not answer')
    }
    const launch = (name: string, own?: () => void): MemoryClient => {
      const client = kafka.client(name)
      const onFatal = (error: unknown): void => void fatal.push(error)
      const of = { ...stage, random: seeded(1), rows, onFatal, ...(own && { disk: own }) }
      startProcess(client, of).catch(onFatal)
      return client
    }
    const producer = await kafka.producer()
    const post = (from: number, to: number): void =>
      void producer.send(
        rawTopic(STREAM),
        Array.from({ length: to - from }, (_, i) => order(from + i)),
      )
    const committed = async (): Promise<number> => {
      const offsets = await kafka.admin.committed(enricherGroup(STREAM, 1), rawTopic(STREAM))
      return [...offsets.values()].reduce((sum, { offset }) => sum + offset, 0)
    }
    const at = (ms: number, what: string): Promise<void> =>
      scheduler.runUntil(() => scheduler.now() >= begin + ms, what, 20_000)

    kafka.heartbeats(() => 4000)
    kafka.fault(({ client, kind }) => {
      if (client === 'first') requests.push(kind)
      return null
    })
    const first = launch('first', disk)
    post(0, 8)
    await at(1500, 'the first process to stand')
    expect(await committed()).toBe(0)
    first.pause()
    launch('second')
    await at(9000, 'the second process to have all partitions')
    expect(await committed()).toBe(8)
    broken = false
    requests.length = 0
    first.resume()
    post(8, 16)
    await at(12_500, 'the first process to go on')
    // Half a minute of patience would heal what the first process had broken: nothing may be broken at all.
    expect(await committed()).toBe(16)
    expect(requests).toContain('describe-group')
    expect(requests.filter((kind) => kind === 'init-producer' || kind === 'produce')).toEqual([])
    await at(14_000, 'the first process to join again')
    post(16, 24)
    await at(20_000, 'both to work')
    expect(await committed()).toBe(24)
    await expectExact({ kafka, state, code: stage.code, rows, started: 2, fatal }, faults)
  },
)
