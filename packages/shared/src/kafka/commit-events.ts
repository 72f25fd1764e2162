import { type CommitEvent, commitKey } from '../core/books.ts'
import { textBytes } from '../core/record.ts'
import { COMMITS_TOPIC } from '../core/topics.ts'
import type { Producer } from './port.ts'

/** Announces durable steps on `mesh.commits`. Events are cumulative, so a repeated one does no harm. */
export type CommitPublisher = { publish(event: CommitEvent): Promise<void> }

export function createCommitPublisher(producer: Producer): CommitPublisher {
  return {
    async publish(event) {
      const key = textBytes(commitKey(event))
      await producer.send(COMMITS_TOPIC, [{ partition: 0, key, value: textBytes(JSON.stringify(event)), headers: [] }])
    },
  }
}
