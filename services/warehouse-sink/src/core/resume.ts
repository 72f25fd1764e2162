import { MeshError } from '@mesh/shared/core/errors'
import type { AssignedPartition } from '@mesh/shared/kafka/port'
import type { LedgerEntry } from './ports.ts'

/**
 * The entry to go on from; null to begin. The ledger decides, not the group's offset, which is only its projection.
 * @throws MeshError MESH_KAFKA_TOPIC_RECREATED, MESH_KAFKA_OFFSET_OUT_OF_RANGE (the topic ends before the ledger does).
 */
export function resumeEntry(entries: readonly LedgerEntry[], assigned: AssignedPartition): LedgerEntry | null {
  const own = entries.find((entry) => entry.topicId === assigned.topicId) ?? null
  const place = `${assigned.topic}/${assigned.partition}`
  const other = entries.find((entry) => entry.topicId !== assigned.topicId)
  // The rows of the older topic are in the table: its records, written again, would lie there twice.
  if (own === null && other !== undefined) {
    throw new MeshError(
      'MESH_KAFKA_TOPIC_RECREATED',
      `the ledger knows topic id ${other.topicId}, the broker has ${assigned.topicId}`,
      { place },
    )
  }
  if (own !== null && own.nextOffset > assigned.highWatermark) {
    throw new MeshError(
      'MESH_KAFKA_OFFSET_OUT_OF_RANGE',
      `the ledger stands at ${own.nextOffset}, the topic ends at ${assigned.highWatermark}`,
      { place },
    )
  }
  return own
}
