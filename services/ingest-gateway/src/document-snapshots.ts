import type { KafkaPort } from '@mesh/shared/kafka/port'
import { openSourceSession } from './adapters/source-session.ts'
import { type MongoPosition, withSnapshotAgain } from './core/mongo/position.ts'
import type { StreamDirectory } from './core/ports.ts'
import { pulledSources, sourceGroup } from './core/source-id.ts'

export type AskForDocuments = {
  /** Only this collection; null = all of the source. */
  readonly collection: string | null
  /** Gives up how far the changes have come: what a dead resume token leaves. */
  readonly anew: boolean
}

/**
 * Asks the readers of a MongoDB source for all documents again, by writing their positions. Taking the transactional id fences the reader,
 * whichever gateway it is in: its next step fails, and it goes on from what is written here.
 * @returns the collections
 */
export function createDocumentSnapshots(options: {
  readonly kafka: KafkaPort
  readonly directory: Pick<StreamDirectory, 'streams'>
  readonly now: () => number
}): (source: string, ask: AskForDocuments) => Promise<string[]> {
  const { kafka, directory, now } = options

  return async function askForDocuments(source, { collection, anew }) {
    const asked: string[] = []
    for (const stream of directory.streams()) {
      for (const { id, ingest } of pulledSources(stream.contract, stream.sources)) {
        if (ingest.kind !== 'cdc' || ingest.source !== source) continue
        if (collection !== null && ingest.table !== collection) continue
        const transactionalId = sourceGroup(stream.contract.name, id)
        const session = await openSourceSession({ kafka, id, transactionalId, topic: stream.rawTopic, now })
        try {
          const position = session.state as MongoPosition | null
          const next = anew || position === null ? null : withSnapshotAgain(position)
          await session.commit({ records: [], state: next })
        } finally {
          await session.close()
        }
        asked.push(ingest.table)
      }
    }
    return asked
  }
}
