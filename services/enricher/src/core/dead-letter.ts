import { formatMeshSrc, MAIN_LANE } from '@mesh/shared/core/coordinate'
import { header, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import type { Source } from './arrival.ts'
import type { Problem, Stage } from './problem.ts'
import { ownHeaders } from './refined-record.ts'

export type DeadLetterFrom = {
  /** Name of the raw topic, whichever topic the record was read from. */
  readonly topic: string
  readonly group: string
  readonly version: number
}

const MAX_STACK_BYTES = 8192
const MAX_MESSAGE_BYTES = 2048
const MAX_NAME_BYTES = 256

/** Names of Kafka Connect's stages (org.apache.kafka.connect.runtime.errors.Stage), which its tools know. */
const CONNECT_STAGE: Readonly<Record<Stage, string>> = {
  decode: 'VALUE_CONVERTER',
  join: 'TRANSFORMATION',
  refine: 'TRANSFORMATION',
  encode: 'TRANSFORMATION',
  emit: 'KAFKA_PRODUCE',
}

/**
 * The dead letter of a raw record: its bytes and headers untouched, then Connect's error headers (UTF-8 text, as its own reporter
 * writes them) and ours. `mesh-src` holds the coordinate, which a topic's name is not.
 */
export function deadLetterRecord(
  { at, record }: Source,
  problem: Problem,
  { attempt = 1, ...from }: DeadLetterFrom & { readonly attempt?: number },
): RecordToSend {
  const errors: [string, string][] = [
    ['topic', from.topic],
    ['partition', String(at.partition)],
    ['offset', String(at.offset)],
    ['connector.name', from.group],
    ['task.id', String(at.partition)],
    ['stage', CONNECT_STAGE[problem.stage]],
    ['class.name', `mesh.enricher.${problem.stage}`],
    ['exception.class.name', clip(problem.errorName, MAX_NAME_BYTES)],
    ['exception.message', clip(problem.message, MAX_MESSAGE_BYTES)],
  ]
  if (problem.stack !== null) errors.push(['exception.stacktrace', clip(problem.stack, MAX_STACK_BYTES)])
  return {
    partition: at.partition,
    key: record.key,
    value: record.value,
    headers: [
      ...ownHeaders(record.headers),
      ...errors.map(([name, value]) => header(`__connect.errors.${name}`, value)),
      header(HEADER.errorCode, clip(problem.code, MAX_NAME_BYTES)),
      header(HEADER.attempt, String(attempt)),
      header(HEADER.version, String(from.version)),
      header(HEADER.src, formatMeshSrc({ ...at, lane: MAIN_LANE, index: 0 })),
    ],
  }
}

/** At most `max` bytes of UTF-8, cut between characters. */
function clip(text: string, max: number): string {
  const bytes = textBytes(text)
  if (bytes.byteLength <= max) return text
  let end = max
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--
  return Buffer.from(bytes.buffer, bytes.byteOffset, end).toString('utf8')
}
