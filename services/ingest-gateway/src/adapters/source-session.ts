import { MeshError } from '@mesh/shared/core/errors'
import { bytesText, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { CURSORS_TOPIC } from '@mesh/shared/core/topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { SourceSession, SourceWrite } from '../core/ports.ts'
import { partKey } from '../core/source-id.ts'
import { readCursorRecords } from './cursor-records.ts'

export type SessionOptions = {
  readonly kafka: KafkaPort
  /** Key of the position on `mesh.cursors`. */
  readonly id: string
  readonly transactionalId: string
  /** The raw topic that it writes to. */
  readonly topic: string
  readonly now: () => number
}

/** The value of a record on `mesh.cursors`. */
type CursorRecord = { readonly seq: number; readonly at: string; readonly state: unknown }

/** One page is written in it. What a killed gateway leaves open holds up the opening of other sources for as long (cursor-records.ts). */
const TRANSACTION_TIMEOUT_MS = 30_000

/**
 * Takes the transactional id first, so that whoever held it can write nothing any more, and reads the position then: what is read
 * is what counts. The position's record carries a number that every step raises by one; it tells what became of a step.
 */
export async function openSourceSession(options: SessionOptions): Promise<SourceSession> {
  const { kafka, id, transactionalId, topic, now } = options
  const producer = await kafka.transactional({
    transactionalId,
    topics: [topic, CURSORS_TOPIC],
    timeoutMs: TRANSACTION_TIMEOUT_MS,
  })
  let found: Map<string, unknown>
  try {
    found = await readCursors(kafka, id)
  } catch (error) {
    await producer.close()
    throw error
  }
  const own = found.get(id) as CursorRecord | undefined
  let seq = own?.seq ?? 0

  async function decide(next: number): Promise<'committed' | 'absent' | 'foreign'> {
    const there = ((await readCursors(kafka, id)).get(id) as CursorRecord | undefined)?.seq ?? 0
    return there === next ? 'committed' : there === next - 1 ? 'absent' : 'foreign'
  }

  async function commit({ records, state, parts }: SourceWrite): Promise<void> {
    const next = seq + 1
    const cursor: CursorRecord = { seq: next, at: new Date(now()).toISOString(), state }
    const cursors: RecordToSend[] = [...(parts ?? [])].map(([part, value]) => cursorRecord(partKey(id, part), value))
    cursors.push(cursorRecord(id, cursor))
    const writes = [
      { topic, records },
      { topic: CURSORS_TOPIC, records: cursors },
    ].filter((write) => write.records.length > 0)
    await producer.transact({ writes, offset: null, decide: () => decide(next) })
    seq = next
  }

  const prefix = partKey(id, '')
  return {
    state: own?.state ?? null,
    parts: new Map(
      [...found].flatMap(([key, value]) =>
        key.startsWith(prefix) ? [[key.slice(prefix.length), value] as const] : [],
      ),
    ),
    commit,
    close: () => producer.close(),
  }
}

/** The last value of every key of the source. */
async function readCursors(kafka: KafkaPort, id: string): Promise<Map<string, unknown>> {
  const prefix = partKey(id, '')
  const found = await readCursorRecords(kafka, (name) => name === id || name.startsWith(prefix))
  if (found === null) throw new MeshError('MESH_KAFKA_UNAVAILABLE', `${CURSORS_TOPIC} is not there yet`)
  return new Map([...found].map(([name, value]) => [name, JSON.parse(bytesText(value)) as unknown]))
}

function cursorRecord(key: string, value: unknown): RecordToSend {
  return {
    partition: 0,
    key: textBytes(key),
    value: value === null ? null : textBytes(JSON.stringify(value)),
    headers: [],
  }
}
