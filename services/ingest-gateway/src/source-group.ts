import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import { retryDelayMs } from '@mesh/shared/core/retry-policy'
import { CURSORS_TOPIC } from '@mesh/shared/core/topics'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import type { GroupConsumer, KafkaPort } from '@mesh/shared/kafka/port'
import type { Service } from '@mesh/shared/runtime/service'
import { sleep } from './sleep.ts'

/** What is led with a group, or alone. */
export type GroupMember = {
  /** Works until the signal; it may come again. Never rejects. */
  readonly lead: (signal: AbortSignal) => Promise<void>
  readonly onFailing: (error: MeshError) => void
}

export type SourceGroups = {
  /** All members that one process has of a group lead together, or none of them does. */
  join(groupId: string, member: GroupMember): Service
}

export type SourceGroupsOptions = {
  readonly kafka: KafkaPort
  readonly random: () => number
  /** First pause after a failure, ms; doubles up to 30 s. */
  readonly retryMs?: number
}

const MAX_RETRY_MS = 30_000

/**
 * One process at a time leads a group: the one to which Kafka's consumer group of that name gives partition 0 of `mesh.cursors`. Nothing is
 * consumed there. A process is in a group as long as one of its members is.
 */
export function createSourceGroups(options: SourceGroupsOptions): SourceGroups {
  const groups = new Map<string, Group>()
  return {
    join(groupId, member) {
      let taken: { readonly group: Group; readonly seat: Seat } | null = null
      return {
        async start() {
          const group = groups.get(groupId) ?? createGroup(groupId, options)
          groups.set(groupId, group)
          taken = { group, seat: group.sit(member) }
        },
        async stop() {
          if (taken === null) return
          const { group, seat } = taken
          taken = null
          const isLast = seat.leave()
          // Whoever comes while the group is being left joins it anew.
          if (isLast) groups.delete(groupId)
          await seat.ended()
          if (isLast) await group.stop()
        },
      }
    },
  }
}

type Seat = {
  /** Ends its work; true where nobody is left in the group. */
  leave(): boolean
  ended(): Promise<void>
}
type Group = { sit(member: GroupMember): Seat; stop(): Promise<void> }

function createGroup(groupId: string, { kafka, random, retryMs = 500 }: SourceGroupsOptions): Group {
  const stopped = new AbortController()
  const seats = new Set<{ readonly member: GroupMember; begin(): void; resign(): Promise<void> }>()
  let consumer: GroupConsumer | null = null
  let leads = false
  const working = join()

  async function join(): Promise<void> {
    for (let attempt = 1; !stopped.signal.aborted; attempt++) {
      const broken = Promise.withResolvers<unknown>()
      const own = kafka.consumer({
        groupId,
        topics: [CURSORS_TOPIC],
        onFatal: broken.resolve,
        assign: ({ highWatermark }) => Promise.resolve({ position: highWatermark, paused: true, handler: leading() }),
      })
      try {
        // A mesh that was applied before there were sources has no such topic.
        await kafka.admin.ensureTopics(meshTopics().filter(({ name }) => name === CURSORS_TOPIC))
        await own.start()
        consumer = own
        attempt = 0
        if (stopped.signal.aborted) return
        throw await Promise.race([broken.promise, aborted(stopped.signal)])
      } catch (error) {
        consumer = null
        // The group does not say so when it breaks.
        await resign()
        if (stopped.signal.aborted) return own.stop().catch(() => undefined)
        for (const { member } of seats) member.onFailing(asUnavailable(error))
      }
      const policy = { initialMs: retryMs, maxMs: MAX_RETRY_MS, factor: 2, retries: Infinity }
      await sleep(retryDelayMs(policy, attempt + 1, random())!, stopped.signal)
    }
  }

  function leading(): { process: () => Promise<null>; close: () => Promise<null> } {
    leads = true
    for (const seat of seats) seat.begin()
    return { process: () => Promise.resolve(null), close: () => resign().then(() => null) }
  }

  async function resign(): Promise<void> {
    leads = false
    await Promise.all([...seats].map((seat) => seat.resign()))
  }

  function sit(member: GroupMember): Seat {
    let revoked = new AbortController()
    let working: Promise<void> = Promise.resolve()
    const seat = {
      member,
      begin(): void {
        const former = seat.resign()
        revoked = new AbortController()
        const { signal } = revoked
        working = former.then(() => (signal.aborted ? undefined : member.lead(signal)))
      },
      resign(): Promise<void> {
        revoked.abort()
        return working
      },
    }
    seats.add(seat)
    if (leads) seat.begin()
    return {
      leave() {
        seats.delete(seat)
        revoked.abort()
        return seats.size === 0
      },
      ended: () => working,
    }
  }

  return {
    sit,
    async stop() {
      stopped.abort()
      // Handlers are closed, and so tasks ended, before the group is left.
      await consumer?.stop().catch(() => undefined)
      await working
    },
  }
}

function aborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason), { once: true }))
}

/** What Kafka's client throws by itself says that Kafka is away. */
export function asUnavailable(error: unknown): MeshError {
  return isMeshError(error) ? error : new MeshError('MESH_KAFKA_UNAVAILABLE', 'Kafka does not answer', { cause: error })
}
