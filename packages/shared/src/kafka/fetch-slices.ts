import { MeshError } from '../core/errors.ts'

/** What kafkajs's decoder of a fetched partition is replaced by needs of kafkajs. */
export type FetchDecoder = {
  readInt32(): number
  canReadBytes(n: number): boolean
  readBytes(n: number): Buffer
}
export type BatchDecoder = (decoder: FetchDecoder) => Promise<{ readonly records: readonly FetchedBytes[] }>
type FetchedBytes = { readonly key: Buffer | null; readonly value: Buffer | null; readonly headers: unknown }

/** Records of one partition out of one fetch, with what they took on the wire and in memory. */
export type Slice<T = unknown> = T[] & { wireBytes?: number; decodedBytes?: number; cut?: boolean }

/**
 * Most bytes of one partition that are decompressed at a time; one record batch more when it does not fit. What is left of the
 * fetch is dropped and fetched again: the handler's next position decides.
 */
export const DECODED_BYTES_PER_PARTITION = 4_194_304
/** A single record batch that unpacks to more is refused: no topic of the mesh can hold one. */
export const MAX_DECODED_BATCH_BYTES = 134_217_728
/** What a fetch asks for of one partition, on the wire. */
export const WIRE_BYTES = { least: 16_384, most: 1_048_576 }

/** Sizes and magic of the record batch format, version 2 (KIP-98). */
const MAGIC_AT = 16
const MAGIC = 2
const BATCH_HEADER_BYTES = 49
const RECORD_OVERHEAD_BYTES = 96

/**
 * Decodes record batches of a fetched partition until the limit is reached. kafkajs would unpack all of them before the handler
 * sees the first: a megabyte of well compressed records is a gigabyte in memory.
 */
export async function decodeSlice(
  decoder: FetchDecoder,
  {
    open,
    decodeBatch,
    limit,
  }: { open: (bytes: Buffer) => FetchDecoder & { offset: number }; decodeBatch: BatchDecoder; limit: number },
): Promise<Slice> {
  const size = decoder.readInt32()
  if (size <= 0 || !decoder.canReadBytes(size)) return []
  const bytes = decoder.readBytes(size)
  if (bytes.readInt8(MAGIC_AT) !== MAGIC)
    throw new MeshError('MESH_KAFKA_FATAL', `record batches of format ${bytes.readInt8(MAGIC_AT)} are not read`)
  const batches = open(bytes)
  const slice: Slice = []
  let decoded = 0
  while (decoded < limit && batches.canReadBytes(BATCH_HEADER_BYTES)) {
    const records = await nextBatch(batches, decodeBatch)
    if (records === null) break
    for (const record of records) {
      slice.push(record)
      decoded += (record.key?.length ?? 0) + (record.value?.length ?? 0) + RECORD_OVERHEAD_BYTES
    }
  }
  return Object.assign(slice, {
    wireBytes: batches.offset,
    decodedBytes: decoded,
    cut: batches.canReadBytes(BATCH_HEADER_BYTES) && decoded >= limit,
  })
}

/** Null at the end of a fetch, which may cut a batch in two. */
async function nextBatch(batches: FetchDecoder, decodeBatch: BatchDecoder): Promise<readonly FetchedBytes[] | null> {
  try {
    return (await decodeBatch(batches)).records
  } catch (error) {
    if (error instanceof Error && error.name === 'KafkaJSPartialMessageError') return null
    throw error
  }
}

/** What the next fetch asks for of a partition, so that little is fetched twice: what is sure to be decoded at once. */
export function nextWireBytes(current: number, slice: Slice): number {
  const { wireBytes = 0, decodedBytes = 0, cut = false } = slice
  if (wireBytes === 0 || decodedBytes === 0) return current
  const fitting = Math.floor((DECODED_BYTES_PER_PARTITION * wireBytes) / decodedBytes)
  const wanted = cut ? Math.min(current, fitting) : Math.min(current * 2, Math.max(fitting, current))
  return Math.min(WIRE_BYTES.most, Math.max(WIRE_BYTES.least, wanted))
}
