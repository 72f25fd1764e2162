import type { Coordinate } from '@mesh/shared/core/coordinate'
import { MAIN_LANE, parseMeshSrc } from '@mesh/shared/core/coordinate'
import { MeshError } from '@mesh/shared/core/errors'
import { headerText, type KafkaRecord, type RecordBatch } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import type { Source } from './arrival.ts'

export type SourcePartition = Pick<Coordinate, 'topicId' | 'partition'>

/** The records of a raw batch. */
export function* rawSources(batch: RecordBatch): Generator<Source> {
  const { topicId, partition } = batch
  for (const record of batch.records) yield { at: { topicId, partition, offset: record.offset }, record }
}

/**
 * The records of a replay batch below the topic's end, under their source's coordinate: the only place where a `mesh-src` that
 * arrives is trusted. @throws MeshError MESH_REPLAY_INVALID for a record that the replayer cannot have written for this partition.
 */
export function* replayedSources(batch: RecordBatch, end: number, of: SourcePartition): Generator<Source> {
  for (const record of batch.records) {
    if (record.offset < end) yield { at: sourceOf(record, batch, of), record }
  }
}

function sourceOf(record: KafkaRecord, batch: RecordBatch, of: SourcePartition): Coordinate {
  const src = parseMeshSrc(headerText(record.headers, HEADER.src) ?? '')
  if (src.lane !== MAIN_LANE || src.topicId !== of.topicId || src.partition !== of.partition) {
    throw new MeshError('MESH_REPLAY_INVALID', 'the record names another raw partition as its source', {
      place: `${batch.topic}/${batch.partition}@${record.offset}`,
    })
  }
  return { topicId: src.topicId, partition: src.partition, offset: src.offset }
}
