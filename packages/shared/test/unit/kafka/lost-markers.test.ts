import { describe, expect, it } from 'vitest'
import { type EndAt, initSettled, type ProducerState, type TransactionWire } from '../../../src/kafka/lost-markers.ts'
import type { TopicPartition } from '../../../src/kafka/port.ts'

const OUT: TopicPartition = { topic: 'out', partition: 1 }
const OFFSETS: TopicPartition = { topic: '__consumer_offsets', partition: 3 }
const OPTIONS = { transactionalId: 'owner', topics: ['out', 'dlq'], group: 'g' }

/** A cluster that knows `former` until `init`, and `own` from then on; `open` is what its partitions hold open. */
function cluster(former: ProducerState | null, own: ProducerState | null, open: readonly TopicPartition[]) {
  const ended: EndAt[] = []
  const looked: (readonly string[])[] = []
  let taken = false
  const wire: TransactionWire = {
    describe: () => Promise.resolve(taken ? own : former),
    openOn(producerId, topics) {
      expect(taken).toBe(true)
      expect(producerId).toBe(former?.producerId)
      looked.push(topics)
      return Promise.resolve([...open])
    },
    end(transactionalId, by, at) {
      expect([transactionalId, by]).toEqual(['owner', own])
      ended.push(at)
      return Promise.resolve()
    },
  }
  const init = (): Promise<string> => {
    taken = true
    return Promise.resolve('session')
  }
  return { wire, init, ended, looked }
}

const state = (name: string, producerEpoch = 4, producerId = 9n): ProducerState => ({
  state: name,
  producerId,
  producerEpoch,
})

describe('a transactional id is taken', () => {
  it('that nobody has had: nothing is looked for', async () => {
    const { wire, init, looked } = cluster(null, state('Empty', 0), [OUT])
    expect(await initSettled(wire, OPTIONS, init)).toBe('session')
    expect(looked).toEqual([])
  })

  it('and nothing was left open: nothing is ended', async () => {
    const { wire, init, ended, looked } = cluster(state('CompleteCommit'), state('Empty', 5), [])
    await initSettled(wire, OPTIONS, init)
    expect(looked).toEqual([['out', 'dlq', '__consumer_offsets']])
    expect(ended).toEqual([])
  })

  it.each([
    ['CompleteCommit', 'commit'],
    ['PrepareCommit', 'commit'],
    ['Empty', 'commit'],
    ['CompleteAbort', 'abort'],
    ['PrepareAbort', 'abort'],
    ['PrepareEpochFence', 'abort'],
    ['Ongoing', 'abort'],
  ] as const)('whose former transaction was %s: what it left is ended by %s', async (name, outcome) => {
    const { wire, init, ended } = cluster(state(name), state('Empty', 5), [OUT])
    await initSettled(wire, OPTIONS, init)
    expect(ended).toEqual([{ partitions: [OUT], group: null, outcome }])
  })

  it('offsets of the group are ended by the group’s name, not as a partition', async () => {
    const { wire, init, ended } = cluster(state('CompleteCommit'), state('Empty', 5), [OFFSETS, OUT])
    await initSettled(wire, OPTIONS, init)
    expect(ended).toEqual([{ partitions: [OUT], group: 'g', outcome: 'commit' }])
  })

  it('without a group: its offsets are not looked at', async () => {
    const { wire, init, looked } = cluster(state('CompleteCommit'), state('Empty', 5), [])
    await initSettled(wire, { transactionalId: 'owner', topics: ['out'] }, init)
    expect(looked).toEqual([['out']])
  })

  it('and has got a new producer, which cannot end what the former left: told with places and the way out', async () => {
    const { wire, init, ended } = cluster(state('CompleteCommit'), state('Empty', 0, 10n), [OUT])
    await expect(initSettled(wire, OPTIONS, init)).rejects.toMatchObject({
      code: 'MESH_KAFKA_UNAVAILABLE',
      place: 'owner',
      message: expect.stringMatching(/out\/1.*kafka-transactions\.sh abort/),
    })
    expect(ended).toEqual([])
  })
})
