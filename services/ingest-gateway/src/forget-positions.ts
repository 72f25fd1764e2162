import { rawTopic } from '@mesh/shared/core/topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { readCursorRecords } from './adapters/cursor-records.ts'
import { openSourceSession } from './adapters/source-session.ts'
import { forgotten, readPositionKey } from './core/forgotten.ts'
import { partKey, sourceGroup } from './core/source-id.ts'

/**
 * Forgets how far a source has been read, also where no applied stream reads it any more. Whoever reads it is fenced, as by a new
 * leader, and begins anew. Resolves with the keys of the positions.
 */
export async function forgetPositions(kafka: KafkaPort, source: string, now: () => number): Promise<string[]> {
  const cursors = await readCursorRecords(kafka, (key) => readPositionKey(key)?.source === source)
  const found = [...(cursors?.keys() ?? [])].flatMap((key) => readPositionKey(key) ?? [])
  // Each partition of a foreign topic has a position of its own; the parts of other kinds belong to theirs.
  const own = found.filter(({ kind, part }) => kind === 'kafka' || part === null)
  const forgot: string[] = []
  for (const { id, stream, kind, part } of own) {
    const key = part === null ? id : partKey(id, part)
    const group = sourceGroup(stream, id)
    const transactionalId = part === null ? group : `${group}.${part}`
    const session = await openSourceSession({ kafka, id: key, transactionalId, topic: rawTopic(stream), now })
    try {
      if (session.state === null) continue
      const { state, parts } = forgotten(kind, session.state)
      const gone = parts === 'kept' ? [] : [...session.parts.keys()].map((name) => [name, null] as const)
      await session.commit({ records: [], state, parts: new Map(gone) })
      forgot.push(key)
    } finally {
      await session.close()
    }
  }
  return forgot
}
