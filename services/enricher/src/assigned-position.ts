import { MeshError } from '@mesh/shared/core/errors'
import type { AssignedPartition, KafkaPort, TopicPartition } from '@mesh/shared/kafka/port'
import { partitionOffsets } from './restore-dedupe.ts'

/** @throws MeshError MESH_KAFKA_OFFSET_OUT_OF_RANGE: nothing may be skipped in silence. */
export async function checkPosition(
  kafka: Pick<KafkaPort, 'admin'>,
  assigned: AssignedPartition,
  position: number,
): Promise<void> {
  const { topic, partition } = assigned
  // What a former owner committed since may lie beyond the end that was seen at the assignment.
  const stale = position > assigned.highWatermark
  const { logStartOffset, highWatermark } = stale ? await partitionOffsets(kafka, topic, partition) : assigned
  if (position >= logStartOffset && position <= highWatermark) return
  throw new MeshError(
    'MESH_KAFKA_OFFSET_OUT_OF_RANGE',
    `position ${position} is outside [${logStartOffset}, ${highWatermark}]`,
    { place: `${topic}/${partition}` },
  )
}

/**
 * Restores a partition. Read in part before and in part after another owner's step it may look like anything: what fails while its
 * committed offset moves is told as MESH_KAFKA_FENCED.
 */
export async function unlessMovedOn<T>(
  { kafka, group }: { readonly kafka: Pick<KafkaPort, 'admin'>; readonly group: string },
  { topic, partition, committed }: TopicPartition & Pick<AssignedPartition, 'committed'>,
  restore: () => Promise<T>,
): Promise<T> {
  try {
    return await restore()
  } catch (error) {
    const now = (await kafka.admin.committed(group, topic)).get(partition)
    if (now?.offset === committed?.offset && now?.metadata === committed?.metadata) throw error
    const options = { place: `${topic}/${partition}`, cause: error }
    throw new MeshError('MESH_KAFKA_FENCED', 'another owner moved on while the partition was restored', options)
  }
}
