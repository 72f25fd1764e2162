import { addHash, formatHash, type HashSum, rawHash } from '@mesh/shared/core/books'
import { formatMeshSrc, MAIN_LANE, type MeshSrc, parseMeshSrc } from '@mesh/shared/core/coordinate'
import { header, headerText, type KafkaRecord } from '@mesh/shared/core/record'
import { readBronzeRecords } from '@mesh/shared/lake/bronze'
import { type ChainFooter, listChain } from '@mesh/shared/lake/chain'
import type { ChainId } from '@mesh/shared/lake/chain-names'
import { readParquetRows } from '@mesh/shared/lake/parquet'
import type { ChainTask } from '../../src/chain-runner.ts'
import { createBronzeSource } from '../../src/core/bronze-source.ts'
import type { EntrySource } from '../../src/core/entry.ts'
import type { World } from './world.ts'

export const BRONZE_ID: ChainId = { layer: 'bronze', stream: 'flights', version: 1, topicId: 'topic-1', partition: 0 }
export const SILVER_ID: ChainId = { ...BRONZE_ID, layer: 'silver', version: 2 }

export const BRONZE_TASK: ChainTask = {
  layer: 'bronze',
  stream: 'flights',
  version: 1,
  topic: 'raw.flights.v1',
  groupId: 'mesh.lake-sink.bronze.flights.v1',
  topicId: 'topic-1',
  openSource: async (id) => createBronzeSource(id),
}

export const SILVER_TASK: ChainTask = {
  ...BRONZE_TASK,
  layer: 'silver',
  version: 2,
  topic: 'refined.flights.v2',
  groupId: 'mesh.lake-sink.silver.flights.v2',
  topicId: null,
  openSource: async () => plainSource(),
}

/** Raw records at every offset but those in `skip` (control and aborted ones). */
export function rawRecords(count: number, skip: readonly number[] = []): KafkaRecord[] {
  return Array.from({ length: count }, (_, offset) => ({
    offset,
    timestamp: 1_700_000_000_000 + offset,
    key: offset % 4 === 0 ? null : Buffer.from(`key-${offset % 3}`),
    value: offset % 5 === 0 ? null : Buffer.from('x'.repeat(offset % 7)),
    headers: [header('ce_time', new Date(1_700_000_000_000 + offset).toISOString()), { name: 'null', value: null }],
  })).filter(({ offset }) => !skip.includes(offset))
}

/** Refined records whose mesh-src are the given raw offsets, in the order given. */
export function refinedRecords(sources: readonly number[]): KafkaRecord[] {
  return sources.map((source, offset) => {
    const src: MeshSrc = { lane: MAIN_LANE, topicId: 'raw-1', partition: 0, offset: source, index: 0 }
    return {
      offset,
      timestamp: 1,
      key: null,
      value: Buffer.from(`${source}`),
      headers: [header('mesh-src', formatMeshSrc(src))],
    }
  })
}

/** Silver with one column; a value that starts with `+` asks for a second one. */
function plainSource(): EntrySource {
  let wide = false
  const asks = ({ value }: KafkaRecord): boolean => !wide && value?.[0] === 43
  const column = (name: string) => ({ name, type: { kind: 'string' as const }, nullable: true })
  return {
    columns: () => [column('value'), ...(wide ? [column('more')] : [])],
    changes: asks,
    async read(record) {
      wide ||= asks(record)
      const src = parseMeshSrc(headerText(record.headers, 'mesh-src')!)
      const row = [record.value && Buffer.from(record.value).toString(), null].slice(0, wide ? 2 : 1)
      return {
        offset: record.offset,
        bytes: 100,
        row,
        hash: BigInt(src.offset + 1),
        eventTime: null,
        timestamp: 0,
        src,
      }
    },
  }
}

/** Offsets, books and footers of a chain, read back from the lake; throws where the chain does not tile. */
export async function readBronze(world: World): Promise<{ offsets: number[]; hash: HashSum; footers: ChainFooter[] }> {
  const footers: ChainFooter[] = []
  for await (const { footer } of listChain(world.objects, BRONZE_ID)) footers.push(footer)
  const offsets: number[] = []
  let hash = 0n
  const range = { stream: 'flights', topicId: 'topic-1', partition: 0, from: 0, to: Number.MAX_SAFE_INTEGER }
  for await (const { records } of readBronzeRecords(world.objects, range)) {
    for (const record of records) {
      offsets.push(record.offset)
      hash = addHash(hash, rawHash({ ...range, offset: record.offset }, record))
    }
  }
  return { offsets, hash, footers }
}

export async function readSilver(world: World): Promise<{ values: unknown[]; footers: ChainFooter[] }> {
  const footers: ChainFooter[] = []
  const values: unknown[] = []
  for await (const { key, footer } of listChain(world.objects, SILVER_ID)) {
    footers.push(footer)
    for (const row of await readParquetRows((await world.objects.get(key))!)) values.push(row['value'])
  }
  return { values, footers }
}

/** The hash that bronze's books must show for all records of a log. */
export function rawSum(records: readonly KafkaRecord[]): string {
  return formatHash(
    records.reduce((sum, r) => addHash(sum, rawHash({ topicId: 'topic-1', partition: 0, offset: r.offset }, r)), 0n),
  )
}
