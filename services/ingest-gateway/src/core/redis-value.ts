import { createHash } from 'node:crypto'
import { type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { buildRecord, buildTombstone, type RecordContext } from './build-record.ts'
import { NO_ATTRIBUTES } from './event-attributes.ts'
import type { IngestStream } from './ports.ts'

/** A key's value as it was read back: JSON of texts; bytes that are no UTF-8 as `{"base64": …}`. */
export type RedisValue = { readonly type: string; readonly value: unknown }

export type ValueBuild = {
  readonly stream: IngestStream
  readonly source: string
  readonly receivedAt: number
}

/** What tells one value from another. */
export const valueDigest = ({ type, value }: RedisValue): string =>
  createHash('sha256')
    .update(JSON.stringify([type, value]))
    .digest('base64url')
    .slice(0, 22)

/**
 * The raw record of what a key holds, null = nothing any more. `seq` numbers the changes that the mesh has seen of this source: a
 * value that comes back is a new event.
 */
export function buildValue(key: string, found: RedisValue | null, seq: number, build: ValueBuild): RecordToSend {
  const eventId = `${build.source}:${key}@${seq}`
  const context: RecordContext = {
    contract: build.stream.contract,
    partitions: build.stream.partitions,
    check: build.stream.check,
    attributes: { ...NO_ATTRIBUTES, source: `/sources/${build.source}` },
    idFor: () => eventId,
    keyFor: () => key,
    kept: [],
    receivedAt: build.receivedAt,
  }
  if (found === null) return buildTombstone(key, eventId, context)
  return buildRecord(0, textBytes(JSON.stringify({ key, ...found })), context).record
}
