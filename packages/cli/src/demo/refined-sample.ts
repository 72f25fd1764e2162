import { bytesText, headerText } from '@mesh/shared/core/record'
import { HEADER, refinedTopic } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import type { Receipt } from '../gateway-client.ts'
import type { MeshAccess } from '../mesh-access.ts'

export type RefinedSample = {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly meshSrc: string
  readonly record: unknown
}

const WINDOW = 20_000

/** The refined record that a receipt's raw record became, found by its mesh-src near the end of its partition. */
export async function readRefinedRecord(
  mesh: MeshAccess,
  state: StreamVersions,
  receipt: Receipt,
): Promise<RefinedSample | null> {
  const topic = refinedTopic(state.stream, state.live)
  const partition = receipt.partition ?? 0
  const end = (await mesh.kafka().admin.offsets(topic)).find((offsets) => offsets.partition === partition)
  if (!end) return null
  const codec = createAvroCodec(createSchemaRegistry({ url: mesh.addresses.registryUrl }))
  const wanted = `main;${state.rawTopicId};${partition};${receipt.offset};0`
  let found: RefinedSample | null = null
  const from = Math.max(end.logStartOffset, end.highWatermark - WINDOW)
  await mesh.kafka().readRanges(topic, [{ partition, from, to: end.highWatermark }], async (batch) => {
    for (const record of batch.records) {
      const meshSrc = headerText(record.headers, HEADER.src) ?? ''
      if (meshSrc !== wanted || record.value === null) continue
      const decoded = await codec.decode(record.value)
      found = {
        topic,
        partition,
        offset: record.offset,
        key: record.key && bytesText(record.key),
        meshSrc,
        record: decoded.record,
      }
    }
  })
  return found
}
