import { addHash, formatHash } from '@mesh/shared/core/books'
import { parseMeshSrc } from '@mesh/shared/core/coordinate'
import { bytesText, headerText } from '@mesh/shared/core/record'
import { deadLetterTopic, enricherGroup, HEADER, rawTopic, refinedTopic } from '@mesh/shared/core/topics'
import { liveVersion, newestBundle, type StreamVersions } from '@mesh/shared/core/versions'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { FastAvroCodec } from '@mesh/shared/schema/avro-codec'
import { expect } from 'vitest'
import type { CodeLoader } from '../../../services/enricher/src/adapters/code-loader.ts'
import { readBooks } from '../../../services/enricher/src/core/books-metadata.ts'
import type { JoinedRow } from '../../../services/enricher/src/core/joins.ts'
import { recompute } from '../../../services/enricher/test/oracle.ts'
import { srcOf } from '../../../services/enricher/test/orders.ts'
import { byOrigin, type Output, outputsOf, readOutputs } from '../../../services/enricher/test/reader.ts'
import type { Log } from '../../../services/enricher/test/world.ts'

export type OracleSources = {
  readonly kafka: KafkaPort
  readonly codec: FastAvroCodec
  readonly codes: CodeLoader
  readonly customers: string
}
export type Found = {
  readonly raw: number
  readonly outputs: number
  readonly parked: number
  readonly redelivered: number
}

/** The whole topic under read_committed. */
export async function readLog(kafka: KafkaPort, topic: string): Promise<Log> {
  const log: Log[number][] = []
  const ranges = (await kafka.admin.offsets(topic)).map((o) => ({
    partition: o.partition,
    from: o.logStartOffset,
    to: o.highWatermark,
  }))
  await kafka.readRanges(topic, ranges, ({ partition, records }) => {
    for (const record of records) log.push({ partition, offset: record.offset, record })
  })
  return log.sort((a, b) => a.partition - b.partition || a.offset - b.offset)
}

/** Everything that must hold of a settled stream's live version, against a recomputation from its raw log alone. */
export async function checkAgainstRaw(sources: OracleSources, state: StreamVersions): Promise<Found> {
  const { kafka } = sources
  const { stream, live } = state
  const code = await sources.codes.load(newestBundle(liveVersion(state)))
  const exact = code.contract.refine.guarantee === 'exactly-once'
  const rows = await customerRows(sources)
  const [raw, refined] = [await readLog(kafka, rawTopic(stream)), await readLog(kafka, refinedTopic(stream, live))]
  const dead = (await readLog(kafka, deadLetterTopic(stream))).filter(
    ({ record }) => headerText(record.headers, HEADER.version) === String(live),
  )
  const committed = await kafka.admin.committed(enricherGroup(stream, live), rawTopic(stream))
  const found = { raw: raw.length, outputs: 0, parked: 0, redelivered: 0 }

  for (let partition = 0; partition < state.partitions; partition++) {
    const place = `${stream}/${partition}`
    const own = (log: Log): Log => log.filter((entry) => entry.partition === partition)
    const at = { topicId: state.rawTopicId, partition }
    const expected = recompute(own(raw), at, { code, findRow: (_stream, key) => rows.get(key) ?? null })
    const read = readOutputs(own(refined).map(({ record }) => record))
    const outputs = read.outputs.map(({ origin, value }) => [origin, value]).sort(byOrigin)
    expect(outputs, `outputs of ${place}`).toEqual(outputsOf(expected.fates))

    const { counts, parked, hash } = readBooks(committed.get(partition)!.metadata, place)
    const booked = {
      outputs: counts.outputs + parked.outputs,
      duplicate: counts.duplicate,
      drop: counts.drop + parked.drop,
      deadLetter: counts.deadLetter + parked.deadLetter,
      hash: formatHash(addHash(hash, parked.hash)),
    }
    const { duplicate, drop, deadLetter } = expected.counts
    expect(booked, `books of ${place}`).toEqual({
      outputs: expected.counts.outputs,
      duplicate,
      drop,
      deadLetter,
      hash: formatHash(read.hash),
    })

    const refused = expected.fates.flatMap((fate, offset) => (fate.kind === 'deadLetter' ? [offset] : []))
    const letters = own(dead).map(({ record }) => parseMeshSrc(srcOf(record)).offset)
    const distinct = exact ? letters : [...new Set(letters)]
    expect(
      distinct.sort((a, b) => a - b),
      `dead letters of ${place}`,
    ).toEqual(refused)

    expect(outOfOrder(read.outputs), `order of ${place}`).toEqual([])
    if (exact) expect(read.redelivered, `physical duplicates of ${place}`).toBe(0)
    found.outputs += outputs.length
    found.parked += parked.outputs
    found.redelivered += read.redelivered
  }
  return found
}

/** Outputs that come after one of a later raw record of their key, over both lanes. */
function outOfOrder(outputs: readonly Output[]): string[] {
  const last = new Map<string, number>()
  return outputs.flatMap(({ key, offset }) => {
    const before = last.get(key) ?? -1
    last.set(key, offset)
    return offset < before ? [`${key}: raw offset ${offset} after ${before}`] : []
  })
}

async function customerRows({ kafka, codec, customers }: OracleSources): Promise<Map<string, JoinedRow>> {
  const rows = new Map<string, JoinedRow>()
  for (const { record } of await readLog(kafka, refinedTopic(customers, 1))) {
    const decoded = await codec.decode(record.value!)
    rows.set(bytesText(record.key!), { record: decoded.record, src: srcOf(record) })
  }
  return rows
}
