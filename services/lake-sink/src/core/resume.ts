import { MeshError } from '@mesh/shared/core/errors'
import type { AssignedPartition, Progress } from '@mesh/shared/kafka/port'
import type { ChainLink } from '@mesh/shared/lake/chain'
import { type ChainId, parseChainKey } from '@mesh/shared/lake/chain-names'

/** What the group offset's metadata says: the object that reached it, where a walk along the chain may begin. */
export function progressAfter({ key, footer }: ChainLink, readTo: number): Progress {
  const metadata = JSON.stringify({ v: 1, object: key, firstOffset: footer.firstOffset })
  // Another writer's object may reach beyond what this consumer has read; a group offset never does.
  return { nextOffset: Math.min(footer.nextOffset, readTo), metadata }
}

/**
 * First offset of the object that the metadata names; undefined when there is none (offsets that were reset by hand).
 * @throws MeshError MESH_KAFKA_TOPIC_RECREATED when it names an object of an earlier topic of this name.
 */
export function walkHint(id: ChainId, { committed, topic }: AssignedPartition): number | undefined {
  const named = committed && parseChainKey(objectOf(committed.metadata))
  if (!named) return undefined
  if (named.topicId !== id.topicId) {
    throw new MeshError('MESH_KAFKA_TOPIC_RECREATED', `group offset is of topic id ${named.topicId}`, { place: topic })
  }
  return named.firstOffset
}

/**
 * Position to read from: where the chain ends. The chain decides, not the group's offset, which only ever trails it.
 * @throws MeshError MESH_LAKE_CHAIN_BROKEN, MESH_KAFKA_OFFSET_OUT_OF_RANGE
 */
export function resumePosition(last: ChainLink | null, assigned: AssignedPartition): number {
  const position = last?.footer.nextOffset ?? 0
  const place = `${assigned.topic}/${assigned.partition}`
  if (assigned.committed && assigned.committed.offset > position) {
    const message = `the group committed ${assigned.committed.offset}, and the chain ends at ${position}`
    throw new MeshError('MESH_LAKE_CHAIN_BROKEN', message, { place })
  }
  if (position > assigned.highWatermark) {
    const message = `the chain ends at ${position}, and the topic at ${assigned.highWatermark}`
    throw new MeshError('MESH_KAFKA_OFFSET_OUT_OF_RANGE', message, { place })
  }
  return position
}

function objectOf(metadata: string): string {
  try {
    const parsed = JSON.parse(metadata) as { object?: unknown } | null
    return typeof parsed?.object === 'string' ? parsed.object : ''
  } catch {
    return ''
  }
}
