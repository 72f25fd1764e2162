import type { GroupConsumer } from '@mesh/shared/kafka/port'
import type { BookId } from './core/books.ts'
import type { Stall } from './core/stall.ts'
import type { Flow } from './handlers.ts'
import type { EnricherTelemetry } from './telemetry.ts'

export type FlowDeps = {
  readonly telemetry: Pick<EnricherTelemetry, 'stalled'>
  /** Told of a partition (`<stream>/v<N>/<partition>`) that is held back, and of its end (null). */
  readonly onStall: (place: string, stall: Stall | null) => void
}

/** Holds a runner's partitions back and tells of it. */
export type PartitionFlows = {
  of(topic: string, partition: number): Flow
  /** The partition leaves: whatever held it back is another owner's to find out. */
  end(partition: number): void
}

export function createPartitionFlows(
  { telemetry, onStall }: FlowDeps,
  { stream, version }: Pick<BookId, 'stream' | 'version'>,
  consumer: () => GroupConsumer,
): PartitionFlows {
  const stalled = new Set<number>()

  function tell(partition: number, stall: Stall | null): void {
    telemetry.stalled({ stream, version, partition }, stall)
    onStall(`${stream}/v${version}/${partition}`, stall)
  }

  function end(partition: number): void {
    if (stalled.delete(partition)) tell(partition, null)
  }

  return {
    of: (topic, partition) => ({
      pause: () => consumer().pause(topic, partition),
      resume: () => consumer().resume(topic, partition),
      stalled(stall) {
        if (stall === null) return end(partition)
        stalled.add(partition)
        tell(partition, stall)
      },
    }),
    end,
  }
}
