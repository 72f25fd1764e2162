import type { Contract } from '@mesh/shared/core/contract'
import { isMeshError, type MeshError } from '@mesh/shared/core/errors'
import { eventIdOf, eventKey } from '@mesh/shared/core/event-identity'
import { parseJson } from '@mesh/shared/core/json-text'
import { header, type KafkaRecord, textBytes } from '@mesh/shared/core/record'

export type Sample = {
  /** JSON value, exact bytes, or null for a tombstone. */
  readonly event: unknown
  /** Record key. Default: what the contract makes of the event; of a change stream the sample's number. */
  readonly key?: string
  /** Event id where the contract points to none. Default `sample-<n>`. */
  readonly id?: string
  /** Headers that arrive with the event, e.g. a provider's. */
  readonly headers?: Readonly<Record<string, string>>
  /** Time of receipt, ISO 8601. Default 2026-01-01T00:00:00Z. */
  readonly receivedAt?: string
  readonly isSample?: true
}

const RECEIVED_AT = Date.UTC(2026, 0, 1)

/** The raw record that the door, or the connector, would have written; or why the door would have refused the event. */
export function sampleRecord(
  given: unknown,
  { contract, index }: { contract: Contract; index: number },
): KafkaRecord | { readonly refused: MeshError } {
  const { event, key, id, headers, receivedAt } = isSample(given) ? given : { event: given }
  const bytes = event === null ? null : event instanceof Uint8Array ? event : textBytes(jsonOf(event))
  // A connector's records have the source's own keys and no id of the contract's.
  const pushed = !contract.ingest.some(({ kind }) => kind === 'cdc' || kind === 'connect')
  const own = Object.entries(headers ?? {}).map(([name, value]) => header(name, value))
  try {
    const parsed = bytes !== null && pushed ? parseJson(bytes) : undefined
    const eventId = (parsed === undefined ? null : eventIdOf(contract, parsed, bytes!)) ?? id ?? `sample-${index}`
    const recordKey = key ?? (parsed === undefined ? String(index) : (eventKey(contract, parsed, bytes!) ?? eventId))
    return {
      offset: index,
      timestamp: receivedAt === undefined ? RECEIVED_AT : Date.parse(receivedAt),
      key: textBytes(recordKey),
      value: bytes,
      headers: [...(pushed || id !== undefined ? [header('ce_id', eventId)] : []), ...own],
    }
  } catch (error) {
    if (isMeshError(error)) return { refused: error }
    throw error
  }
}

function isSample(given: unknown): given is Sample {
  return typeof given === 'object' && given !== null && 'isSample' in given && given.isSample === true
}

/** Integers beyond 2^53 may be given as bigint. */
function jsonOf(event: unknown): string {
  const { rawJSON } = JSON as unknown as { rawJSON: (this: void, text: string) => unknown }
  return JSON.stringify(event, (_, value: unknown) => (typeof value === 'bigint' ? rawJSON(value.toString()) : value))
}
