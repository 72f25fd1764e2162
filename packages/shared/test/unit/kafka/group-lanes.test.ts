import { afterEach, expect, it } from 'vitest'
import { MeshError } from '../../../src/core/errors.ts'
import { createGroupLanes, type GroupClient, type GroupLanes } from '../../../src/kafka/group-lanes.ts'
import type { AssignedPartition, Assignment, GroupConsumerOptions, PartitionHandler } from '../../../src/kafka/port.ts'
import { until } from '../../../src/testing/until.ts'

const P0 = { topic: 't', partition: 0 }
const open: GroupLanes[] = []

afterEach(async () => {
  await Promise.all(open.splice(0).map((lanes) => lanes.stop()))
})

type World = {
  lanes: GroupLanes
  log: string[]
  errors: unknown[]
  topicId: string
  held: boolean
  describing: PromiseWithResolvers<void>[]
  assigning: PromiseWithResolvers<void>[]
  asking: PromiseWithResolvers<void>[]
}

/** Lanes over a client whose answers a test releases one by one; `hold` names the calls that wait. */
function world(
  hold: readonly ('describe' | 'assign' | 'topicIds')[],
  handler: Partial<PartitionHandler> = {},
  tickMs = 60_000,
  more: Pick<GroupConsumerOptions, 'fencedMs' | 'reopens'> = {},
): World {
  const log: string[] = []
  let handlers = 0
  const gate = async (name: (typeof hold)[number], waiting: PromiseWithResolvers<void>[]): Promise<void> => {
    if (!hold.includes(name)) return
    const released = Promise.withResolvers<void>()
    waiting.push(released)
    await released.promise
  }
  const w: Omit<World, 'lanes'> = {
    log,
    errors: [],
    topicId: 'id-1',
    held: true,
    describing: [],
    assigning: [],
    asking: [],
  }
  const client: GroupClient = {
    async describe(partitions) {
      await gate('describe', w.describing)
      return partitions.map(
        (p): AssignedPartition => ({ ...p, topicId: w.topicId, committed: null, logStartOffset: 0, highWatermark: 9 }),
      )
    },
    async topicIds() {
      await gate('topicIds', w.asking)
      return new Map([['t', w.topicId]])
    },
    topicIdsHoldMs: 0,
    holds: () => Promise.resolve(w.held),
    commit(_topic, _partition, { nextOffset }) {
      log.push(`commit ${nextOffset}`)
      return Promise.resolve(true)
    },
    seek: (_topic, _partition, offset) => void log.push(`seek ${offset}`),
    pause: () => undefined,
    resume: () => void log.push('resume'),
  }
  const lanes = createGroupLanes(
    {
      groupId: 'g',
      topics: ['t'],
      tickMs,
      ...more,
      onFatal: (error) => w.errors.push(error),
      async assign(): Promise<Assignment> {
        const id = ++handlers
        log.push(`assign ${id}`)
        await gate('assign', w.assigning)
        return {
          position: 0,
          handler: {
            process: ({ nextOffset }) => Promise.resolve({ nextOffset, metadata: '' }),
            close(reason) {
              log.push(`close ${id} ${reason}`)
              return Promise.resolve(null)
            },
            ...handler,
          },
        }
      },
    },
    client,
  )
  open.push(lanes)
  return Object.assign(w, { lanes })
}

const batch = (nextOffset: number) => ({ ...P0, firstOffset: 0, nextOffset, records: [] })

it('opens no lane of a generation that was overtaken while it was described', async () => {
  const w = world(['describe'])
  w.lanes.assigned([P0])
  await until(() => w.describing.length === 1, 'the first description')
  w.lanes.assigned([])
  w.describing[0]!.resolve()
  await w.lanes.stop()
  expect(w.log).toEqual([])
  expect(w.lanes.positions().size).toBe(0)
})

it('closes a lane that was overtaken while it was assigned, unfetched, before the next one opens', async () => {
  const w = world(['assign'])
  w.lanes.assigned([P0])
  await until(() => w.assigning.length === 1, 'the first assignment')
  w.lanes.assigned([P0])
  w.assigning[0]!.resolve()
  await until(() => w.assigning.length === 2, 'the second assignment')
  expect(w.log).toEqual(['assign 1', 'close 1 revoked', 'assign 2'])
  w.assigning[1]!.resolve()
  await until(() => w.log.includes('resume'), 'the second lane')
  expect(await w.lanes.deliver(batch(1))).toBe(true)
})

it('has one handler of a partition at a time when three generations overlap', async () => {
  const w = world(['describe', 'assign'])
  for (let i = 0; i < 3; i++) w.lanes.assigned([P0])
  await until(() => w.describing.length === 1, 'a description')
  w.describing[0]!.resolve()
  await until(() => w.assigning.length === 1, 'an assignment')
  w.assigning[0]!.resolve()
  await until(() => w.log.includes('resume'), 'the lane')
  expect(w.log).toEqual(['assign 1', 'seek 0', 'resume'])
})

it('ends what is in flight before it closes the handler, and both before the partition is opened again', async () => {
  const working = Promise.withResolvers<void>()
  const w = world([], {
    async process({ nextOffset }) {
      w.log.push('processing')
      await working.promise
      w.log.push('processed')
      return { nextOffset, metadata: '' }
    },
  })
  w.lanes.assigned([P0])
  await until(() => w.log.includes('resume'), 'the lane')
  const delivered = w.lanes.deliver(batch(1))
  await until(() => w.log.includes('processing'), 'the work')
  w.lanes.assigned([P0])
  await new Promise((resolve) => setImmediate(resolve))
  expect(w.log.at(-1)).toBe('processing')
  working.resolve()
  expect(await delivered).toBe(false)
  await until(() => w.log.includes('assign 2'), 'the next lane')
  expect(w.log.slice(4, 7)).toEqual(['processed', 'close 1 revoked', 'assign 2'])
})

it('commits nothing of a lane that was overtaken while its topic id was checked', async () => {
  const w = world(['topicIds'])
  w.lanes.assigned([P0])
  await until(() => w.log.includes('resume'), 'the lane')
  const delivered = w.lanes.deliver(batch(1))
  await until(() => w.asking.length === 1, 'the question for the topic id')
  w.lanes.assigned([P0])
  w.asking[0]!.resolve()
  expect(await delivered).toBe(false)
  await until(() => w.log.includes('assign 2'), 'the next lane')
  expect(w.log).not.toContain('commit 1')
})

it('fails, and commits nothing, when the topic is another one than at assignment', async () => {
  const w = world([])
  w.lanes.assigned([P0])
  await until(() => w.log.includes('resume'), 'the lane')
  w.topicId = 'id-2'
  expect(await w.lanes.deliver(batch(1))).toBe(false)
  expect(w.errors).toMatchObject([{ code: 'MESH_KAFKA_TOPIC_RECREATED', place: 't' }])
  expect(w.log).not.toContain('commit 1')
})

it('fails when the group is joined again and the topic is another one', async () => {
  const w = world([])
  w.lanes.assigned([P0])
  await until(() => w.log.includes('resume'), 'the lane')
  w.topicId = 'id-2'
  w.lanes.assigned([P0])
  await until(() => w.errors.length > 0, 'the failure')
  expect(w.errors).toMatchObject([{ code: 'MESH_KAFKA_TOPIC_RECREATED', place: 't' }])
  expect(w.log).not.toContain('assign 2')
})

it('fails when a topic comes back as another one, also while nothing of it is assigned', async () => {
  const w = world([], {}, 1)
  w.lanes.assigned([P0])
  await until(() => w.log.includes('resume'), 'the lane')
  w.lanes.assigned([])
  w.topicId = 'id-2'
  await until(() => w.errors.length > 0, 'the failure')
  expect(w.errors).toMatchObject([{ code: 'MESH_KAFKA_TOPIC_RECREATED', place: 't' }])
})

it('assigns nothing when it is stopped while partitions are described', async () => {
  const w = world(['describe'])
  w.lanes.assigned([P0])
  await until(() => w.describing.length === 1, 'the description')
  let ended = false
  const stopped = w.lanes.stop().then(() => {
    ended = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  expect(ended).toBe(false)
  w.describing[0]!.resolve()
  await stopped
  expect(w.log).toEqual([])
})

it('closes a handler, unfetched, that was being assigned when it is stopped', async () => {
  const w = world(['assign'])
  w.lanes.assigned([P0])
  await until(() => w.assigning.length === 1, 'the assignment')
  const stopped = w.lanes.stop()
  w.assigning[0]!.resolve()
  await stopped
  expect(w.log).toEqual(['assign 1', 'close 1 stopping'])
})

it('closes a handler once when the group is joined again during a stop', async () => {
  const closing = Promise.withResolvers<null>()
  let closes = 0
  const w = world([], {
    close() {
      closes++
      return closing.promise
    },
  })
  w.lanes.assigned([P0])
  await until(() => w.log.includes('resume'), 'the lane')
  const stopped = w.lanes.stop()
  await until(() => closes === 1, 'the close')
  w.lanes.assigned([P0])
  closing.resolve(null)
  await stopped
  expect(closes).toBe(1)
  expect(w.log.filter((line) => line.startsWith('assign'))).toEqual(['assign 1'])
})

const FENCED = new MeshError('MESH_KAFKA_FENCED', 'the id has another owner', { place: 't/0' })

it('leaves a fenced partition alone until the group takes it away, and is told of nothing', async () => {
  const w = world([], { process: () => Promise.reject(FENCED) })
  w.lanes.assigned([P0])
  await until(() => w.log.includes('resume'), 'the lane')
  expect(await w.lanes.deliver(batch(1))).toBe(false)
  w.lanes.assigned([])
  await until(() => w.log.includes('close 1 revoked'), 'the close')
  expect(w.errors).toEqual([])
  expect(w.log.filter((line) => line.startsWith('commit'))).toEqual([])
})

it('opens a fenced partition again when the group leaves it here, and fails the second time', async () => {
  const w = world([], { process: () => Promise.reject(FENCED) }, 60_000, { fencedMs: 1 })
  w.lanes.assigned([P0])
  await until(() => w.log.includes('resume'), 'the lane')
  await w.lanes.deliver(batch(1))
  await until(() => w.log.filter((line) => line === 'resume').length === 2, 'the second lane')
  expect(w.log).toEqual(['assign 1', 'seek 0', 'resume', 'close 1 revoked', 'assign 2', 'seek 0', 'resume'])
  expect(w.errors).toEqual([])
  await w.lanes.deliver(batch(1))
  await until(() => w.errors.length > 0, 'the failure')
  expect(w.errors).toEqual([FENCED])
})

it('opens a partition again at once after an error of which its user says so', async () => {
  const overtaken = new Error('a former owner wrote')
  const reopens = (error: unknown): boolean => error === overtaken
  const w = world([], { process: () => Promise.reject(overtaken) }, 60_000, { reopens })
  w.lanes.assigned([P0])
  await until(() => w.log.includes('resume'), 'the lane')
  await w.lanes.deliver(batch(1))
  await until(() => w.log.includes('assign 2'), 'the second lane')
  expect(w.errors).toEqual([])
})

it('does not mind how the opening of a lane fails that was overtaken meanwhile', async () => {
  const w = world(['assign'])
  w.lanes.assigned([P0])
  await until(() => w.assigning.length === 1, 'the assignment')
  w.lanes.assigned([P0])
  w.assigning[0]!.reject(new MeshError('MESH_REFINE_STATE_LOST', 'read before and after a step of the next owner'))
  await until(() => w.assigning.length === 2, 'the second assignment')
  w.assigning[1]!.resolve()
  await until(() => w.log.includes('resume'), 'the second lane')
  expect(w.errors).toEqual([])
})

it('work that began before a seek does not move the position', async () => {
  const working = Promise.withResolvers<null>()
  const w = world([], { process: () => working.promise })
  w.lanes.assigned([P0])
  await until(() => w.log.includes('resume'), 'the lane to open')
  const delivered = w.lanes.deliver(batch(5))
  await until(() => w.lanes.positions().get('t/0') === 0, 'the batch to be taken')
  w.lanes.pause('t', 0)
  w.lanes.seek('t', 0, 3)
  working.resolve(null)
  await delivered
  expect(w.lanes.positions().get('t/0')).toBe(3)
})

it('does not take a batch before whose turn another position was sought', async () => {
  const ticking = Promise.withResolvers<null>()
  let ticks = 0
  const taken: number[] = []
  const handler: Partial<PartitionHandler> = {
    tick: () => (ticks++ === 0 ? ticking.promise : Promise.resolve(null)),
    process({ nextOffset }) {
      taken.push(nextOffset)
      return Promise.resolve(null)
    },
  }
  const w = world([], handler, 1)
  w.lanes.assigned([P0])
  await until(() => ticks === 1, 'a tick to be under way')
  const delivered = w.lanes.deliver(batch(5))
  w.lanes.seek('t', 0, 3)
  ticking.resolve(null)
  expect(await delivered).toBe(false)
  expect(taken).toEqual([])
  expect(w.lanes.positions().get('t/0')).toBe(3)
  expect(await w.lanes.deliver({ ...batch(5), firstOffset: 3 })).toBe(true)
  expect(taken).toEqual([5])
})

it('describes a lane as it is at that moment, and none that the group has given away', async () => {
  const w = world(['describe'])
  w.lanes.assigned([P0])
  await until(() => w.describing.length === 1, 'the first description')
  w.describing[0]!.resolve()
  await until(() => w.log.includes('resume'), 'the lane')
  const ask = async (meanwhile: () => void): Promise<AssignedPartition | null> => {
    const before = w.describing.length
    const asked = w.lanes.describe('t', 0)
    await until(() => w.describing.length > before, 'the question')
    meanwhile()
    w.describing[before]!.resolve()
    return asked
  }
  expect(await ask(() => undefined)).toMatchObject({ topic: 't', partition: 0, highWatermark: 9 })
  expect(await w.lanes.describe('t', 1)).toBeNull()
  w.held = false
  expect(await ask(() => undefined)).toBeNull()
  w.held = true
  expect(await ask(() => w.lanes.assigned([]))).toBeNull()
  await until(() => w.describing.length === 5, 'the next generation')
  for (const waiting of w.describing) waiting.resolve()
})
