import { coPartition } from '../../kafka/co-partition.ts'
import type { Committed, TopicPartition } from '../../kafka/port.ts'
import { BrokerError } from './broker-error.ts'

export type Member = {
  /** Order of ids is order of assignment. */
  readonly id: string
  readonly topics: readonly string[]
  /** Told of every generation it belongs to, at once unless it is silent. */
  assigned(partitions: readonly TopicPartition[], generation: number): void
  /** There may be something to fetch. */
  wake(): void
}

export type Membership = { readonly member: Member; readonly generation: number }

export type GroupCoordinator = {
  join(group: string, member: Member): void
  leave(group: string, member: Member): void
  /** @throws BrokerError ILLEGAL_GENERATION unless the member belongs to the group's generation. */
  commit(group: string, from: Membership, place: string, committed: Committed): void
  /** Whether the member belongs to the group's generation. */
  isCurrent(group: string, membership: Membership): boolean
  /** Without a look at generations: a transaction's marker. */
  set(group: string, place: string, committed: Committed): void
  committed(group: string): ReadonlyMap<string, Committed>
  /** A new generation with the members as they are. */
  rebalance(group: string): void
  delete(group: string): void
  wakeAll(): void
}

type Group = { readonly committed: Map<string, Committed>; members: Member[]; generation: number }

export function createGroupCoordinator(partitionsOf: (topic: string) => number): GroupCoordinator {
  const groups = new Map<string, Group>()

  function groupOf(id: string): Group {
    const group = groups.get(id) ?? { committed: new Map<string, Committed>(), members: [], generation: 0 }
    groups.set(id, group)
    return group
  }

  function rebalance(id: string): void {
    const group = groupOf(id)
    const generation = ++group.generation
    const topics = [...new Set(group.members.flatMap((member) => member.topics))]
    const partitions = topics.map((topic) => [topic, Array.from({ length: partitionsOf(topic) }, (_, i) => i)])
    const assignment = coPartition(
      group.members.map((member) => member.id),
      Object.fromEntries(partitions) as Record<string, number[]>,
    )
    for (const member of group.members) {
      const own = Object.entries(assignment[member.id]!)
      member.assigned(
        own.flatMap(([topic, numbers]) => numbers.map((partition) => ({ topic, partition }))),
        generation,
      )
    }
  }

  function isCurrent(id: string, { member, generation }: Membership): boolean {
    const group = groupOf(id)
    return group.members.includes(member) && group.generation === generation
  }

  return {
    rebalance,
    join(id, member) {
      groupOf(id).members.push(member)
      rebalance(id)
    },
    leave(id, member) {
      const group = groupOf(id)
      if (!group.members.includes(member)) return
      group.members = group.members.filter((other) => other !== member)
      if (group.members.length > 0) rebalance(id)
    },
    isCurrent,
    commit(id, from, place, committed) {
      if (!isCurrent(id, from)) throw new BrokerError('ILLEGAL_GENERATION')
      groupOf(id).committed.set(place, committed)
    },
    set: (id, place, committed) => void groupOf(id).committed.set(place, committed),
    committed: (id) => groups.get(id)?.committed ?? new Map<string, Committed>(),
    delete: (id) => void groups.delete(id),
    wakeAll() {
      for (const group of groups.values()) for (const member of group.members) member.wake()
    },
  }
}
