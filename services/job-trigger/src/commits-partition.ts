import type { CommitEvent } from '@mesh/shared/core/books'
import { bytesText } from '@mesh/shared/core/record'
import type { StreamPositions } from '@mesh/shared/core/runs'
import type { AssignedPartition, Assignment, PartitionHandler, Progress } from '@mesh/shared/kafka/port'
import type { RunStore } from './core/ports.ts'
import type { RunTable } from './core/run-table.ts'
import { advancePosition } from './core/vector.ts'

/** What holds the jobs while this process owns `mesh.commits`. */
export type JobHost = {
  /** A commit event moved a position. */
  arrived(event: CommitEvent): void
  /** Everything that was there at the assignment is read: runs may be planned. Once. */
  caughtUp(): void
  /** Resolves when nothing writes `mesh.runs` any more. */
  stop(): Promise<void>
}

export type CommitsPartitionOptions = {
  readonly assigned: AssignedPartition
  readonly table: RunTable
  readonly store: Pick<RunStore, 'putPositions'>
  readonly host: JobHost
  /** Positions are written at most this often, ms; what is read again after a crash is what came in between. */
  readonly checkpointMs: number
  /** Monotonic, ms. */
  readonly now: () => number
  /** Told of a record that is no commit event. */
  readonly unreadable: (offset: number) => void
}

/**
 * `mesh.commits` → positions. The group's offset is committed only after the positions up to it are in `mesh.runs`: what a run will
 * be given can always be told from the two, so no commit event is missed, however long a job waits.
 */
export function createCommitsPartition(options: CommitsPartitionOptions): Assignment {
  const { assigned, table, host } = options
  // Commit events are cumulative: what retention took is said again by the next one.
  const position = Math.max(assigned.committed?.offset ?? 0, assigned.logStartOffset)
  const dirty = new Set<string>()
  let read = position
  let durable = assigned.committed?.offset ?? -1
  let lastCheckpoint = options.now()
  let behind = true

  function look(): void {
    if (!behind || read < assigned.highWatermark) return
    behind = false
    host.caughtUp()
  }

  async function checkpoint(): Promise<Progress | null> {
    lastCheckpoint = options.now()
    const upTo = read
    if (upTo <= durable) return null
    for (const stream of dirty) {
      await options.store.putPositions(positionsOfStream(table, stream))
      dirty.delete(stream)
    }
    durable = upTo
    return { nextOffset: upTo, metadata: '' }
  }

  const handler: PartitionHandler = {
    async process(batch) {
      for (const record of batch.records) {
        const event = record.value === null ? null : readEvent(bytesText(record.value))
        if (event === null) options.unreadable(record.offset)
        else if (advancePosition(table.positions, event)) {
          dirty.add(event.stream)
          host.arrived(event)
        }
      }
      read = batch.nextOffset
      look()
      return null
    },
    async tick() {
      look()
      return options.now() - lastCheckpoint >= options.checkpointMs ? checkpoint() : null
    },
    async close(reason) {
      await host.stop()
      // Who lost the partition must not write where another one writes already.
      return reason === 'stopping' ? checkpoint() : null
    },
  }
  return { position, handler }
}

function positionsOfStream(table: RunTable, stream: string): StreamPositions {
  const positions = [...table.positions.values()].filter((position) => position.stream === stream)
  return { kind: 'positions', stream, positions }
}

function readEvent(text: string): CommitEvent | null {
  try {
    const event = JSON.parse(text) as Partial<CommitEvent> | null
    const whole =
      typeof event?.stream === 'string' && Number.isSafeInteger(event.nextOffset) && event.layer !== undefined
    return whole ? (event as CommitEvent) : null
  } catch {
    return null
  }
}
