import { formatMeshSrc, MAIN_LANE } from '@mesh/shared/core/coordinate'
import { header, type KafkaRecord, type RecordBatch, type RecordToSend, recordBytes } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'

/** Produce requests stay below the brokers' and the client's batch limit. */
export const CHUNK_BYTES = 700_000

/**
 * A raw record as it goes into a replay topic: partition, key, value, headers and timestamp kept, its coordinate added. A header
 * of ours that came with the source is dropped: on a replay topic it is trusted, so only the replayer writes it.
 */
export function replayRecord(
  record: KafkaRecord,
  of: { readonly topicId: string; readonly partition: number; readonly job: string },
): RecordToSend {
  const { topicId, partition, job } = of
  const src = formatMeshSrc({ lane: MAIN_LANE, topicId, partition, offset: record.offset, index: 0 })
  const kept = record.headers.filter((h) => h.name !== HEADER.src && h.name !== HEADER.replay)
  return {
    partition,
    key: record.key,
    value: record.value,
    headers: [...kept, header(HEADER.src, src), header(HEADER.replay, job)],
    timestamp: record.timestamp,
  }
}

/** Cuts a batch into chunks of at most CHUNK_BYTES and `maxRecords`, in order; each says up to which source offset it goes. */
export function* chunksOf(
  batch: RecordBatch,
  { from, job, maxRecords }: { readonly from: number; readonly job: string; readonly maxRecords: number },
): Generator<{ readonly records: readonly RecordToSend[]; readonly nextOffset: number }> {
  const of = { topicId: batch.topicId, partition: batch.partition, job }
  let records: RecordToSend[] = []
  let bytes = 0
  for (const record of batch.records) {
    if (record.offset < from) continue
    const size = recordBytes(record)
    if (records.length > 0 && (bytes + size > CHUNK_BYTES || records.length >= maxRecords)) {
      yield { records, nextOffset: record.offset }
      records = []
      bytes = 0
    }
    records.push(replayRecord(record, of))
    bytes += size
  }
  // Also without records: the position moves over a hole and over control records.
  yield { records, nextOffset: batch.nextOffset }
}
