import { addHash, formatHash, parseHash, rawHash, ZERO_COUNTS } from '@mesh/shared/core/books'
import { header, type KafkaRecord, textBytes } from '@mesh/shared/core/record'
import { rawTopic } from '@mesh/shared/core/topics'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import { BRONZE_COLUMNS, bronzeRow } from '@mesh/shared/lake/bronze'
import { formatChainFooter, walkChain } from '@mesh/shared/lake/chain'
import { type ChainId, chainKey } from '@mesh/shared/lake/chain-names'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { writeParquet } from '@mesh/shared/lake/parquet'

/** Writes `count` raw records to a partition: every third keyless, every fifth a null value, repeated and null headers. */
export async function produceRaw(
  producer: Producer,
  stream: string,
  of: { readonly partition: number; readonly count: number; readonly timestamp: (i: number) => number },
): Promise<void> {
  const { partition, count, timestamp } = of
  await producer.send(
    rawTopic(stream),
    Array.from({ length: count }, (_, i) => ({
      partition,
      key: i % 3 === 0 ? null : textBytes(`k${i % 4}`),
      value: i % 5 === 4 ? null : textBytes(`{"p":${partition},"i":${i}}`),
      headers: [
        header('ce_id', `${partition}-${i}`),
        header('tag', 'a'),
        header('tag', ''),
        { name: 'nothing', value: null },
        // Forged: on a replay topic only the replayer's own is left.
        ...(i % 7 === 0 ? [header('mesh-src', 'main;forged;0;0;0')] : []),
      ],
      timestamp: timestamp(i),
    })),
  )
}

/** Extends the bronze chain of a partition with the log's records of [end of the chain, to), `perObject` offsets an object. */
export async function writeBronze(
  { kafka, store }: { readonly kafka: KafkaPort; readonly store: ObjectStore },
  stream: string,
  of: { readonly partition: number; readonly to: number; readonly perObject?: number },
): Promise<void> {
  const topicId = (await kafka.admin.topicIds([rawTopic(stream)])).get(rawTopic(stream))!
  const id: ChainId = { layer: 'bronze', stream, version: 1, topicId, partition: of.partition }
  const last = (await walkChain(store, id))?.footer
  const from = last?.nextOffset ?? 0
  if (from >= of.to) return
  const records: KafkaRecord[] = []
  const ranges = [{ partition: of.partition, from, to: of.to }]
  await kafka.readRanges(rawTopic(stream), ranges, (batch) => void records.push(...batch.records))
  let counts = last?.counts ?? ZERO_COUNTS
  let hash = parseHash(last?.hash ?? '')
  const size = of.perObject ?? of.to
  for (let firstOffset = from; firstOffset < of.to; firstOffset += size) {
    const nextOffset = Math.min(of.to, firstOffset + size)
    const own = records.filter((record) => record.offset >= firstOffset && record.offset < nextOffset)
    const at = (offset: number) => ({ topicId, partition: of.partition, offset })
    for (const record of own) hash = addHash(hash, rawHash(at(record.offset), record))
    counts = { ...counts, ok: counts.ok + own.length }
    const footer = {
      ...id,
      kind: 'records',
      firstOffset,
      nextOffset,
      rows: own.length,
      counts,
      hash: formatHash(hash),
    } as const
    const file = writeParquet({
      columns: BRONZE_COLUMNS,
      rows: own.map((record) => bronzeRow(at(record.offset), record)),
      keyValues: formatChainFooter({ ...footer, highest: {}, minEventTime: null, maxEventTime: null }),
    })
    await store.create(chainKey(id, firstOffset), file)
  }
}

/** Books [end of the chain, to) as lost to retention. */
export async function writeHole(
  { kafka, store }: { readonly kafka: KafkaPort; readonly store: ObjectStore },
  stream: string,
  of: { readonly partition: number; readonly to: number },
): Promise<void> {
  const topicId = (await kafka.admin.topicIds([rawTopic(stream)])).get(rawTopic(stream))!
  const id: ChainId = { layer: 'bronze', stream, version: 1, topicId, partition: of.partition }
  const last = (await walkChain(store, id))?.footer
  const firstOffset = last?.nextOffset ?? 0
  const counts = { ...(last?.counts ?? ZERO_COUNTS), hole: of.to - firstOffset }
  const footer = {
    ...id,
    kind: 'hole',
    firstOffset,
    nextOffset: of.to,
    rows: 0,
    counts,
    hash: last?.hash ?? formatHash(0n),
  } as const
  const keyValues = formatChainFooter({ ...footer, highest: {}, minEventTime: null, maxEventTime: null })
  await store.create(chainKey(id, firstOffset), writeParquet({ columns: BRONZE_COLUMNS, rows: [], keyValues }))
}
