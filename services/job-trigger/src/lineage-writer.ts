import { type CommitEvent, commitKey } from '@mesh/shared/core/books'
import { bytesText, textBytes } from '@mesh/shared/core/record'
import type { Run, RunsRecord } from '@mesh/shared/core/runs'
import { COMMITS_TOPIC, LINEAGE_TOPIC } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { AssignedPartition, Assignment, PartitionHandler, Producer } from '@mesh/shared/kafka/port'
import { commitLineage, type StreamShape } from './core/commit-lineage.ts'
import type { Places } from './core/lineage-datasets.ts'
import type { RunEvent } from './core/open-lineage.ts'
import { type DbtArtefacts, runLineage } from './core/run-lineage.ts'

export type LineageSources = {
  readonly places: Places
  readonly namespace: string
  readonly versions: () => ReadonlyMap<string, StreamVersions>
  /** Columns of a version; null where they are not known. */
  readonly shapeOf: (state: StreamVersions | undefined, version: number) => Promise<StreamShape | null>
  readonly artefactsOf: (run: Run) => Promise<DbtArtefacts | null>
  /** Told when an event has to do without columns. */
  readonly withoutColumns: (error: unknown) => void
}

/**
 * A partition of `mesh.commits` or `mesh.runs` → `mesh.lineage`. The offset is committed after the events lie there, so an event may be
 * told twice, under the same run id, and none is left out.
 */
export function createLineagePartition(
  assigned: AssignedPartition,
  producer: Pick<Producer, 'send'>,
  sources: LineageSources,
): Assignment {
  const position = Math.max(assigned.committed?.offset ?? 0, assigned.logStartOffset)
  const toldOf = assigned.topic === COMMITS_TOPIC ? createCommitTeller(sources) : createRunTeller(sources)
  const handler: PartitionHandler = {
    async process(batch) {
      const events: RunEvent[] = []
      for (const { value } of batch.records) if (value !== null) events.push(...(await toldOf(bytesText(value))))
      if (events.length > 0) await producer.send(LINEAGE_TOPIC, events.map(recordOf))
      return { nextOffset: batch.nextOffset, metadata: '' }
    },
  }
  return { position, handler }
}

type Teller = (text: string) => Promise<readonly RunEvent[]>

function createCommitTeller({ places, namespace, versions, shapeOf, withoutColumns }: LineageSources): Teller {
  /** The newest commit event per key: a repeated one tells nothing new, and counts of a step need the step before. */
  const newest = new Map<string, CommitEvent>()
  return async function tell(text) {
    const event = commitEventOf(text)
    if (event === null) return []
    const key = `${commitKey(event)}/${event.topicId}`
    const before = newest.get(key) ?? null
    if (before !== null && before.nextOffset >= event.nextOffset) return []
    newest.set(key, event)
    const known = versions()
    const shape = await orNull(shapeOf(known.get(event.stream), event.version), withoutColumns)
    return commitLineage(event, { places, namespace, versions: known, shape, before })
  }
}

function createRunTeller({ places, namespace, artefactsOf, withoutColumns }: LineageSources): Teller {
  return async function tell(text) {
    const record = runOf(text)
    if (record === null) return []
    const artefacts = record.state === 'succeeded' ? await orNull(artefactsOf(record), withoutColumns) : null
    return runLineage(record, { places, namespace, artefacts })
  }
}

/** Lineage without columns is still true; what keeps them away is told once per event and never stops the rest. */
function orNull<T>(read: Promise<T | null>, failed: (error: unknown) => void): Promise<T | null> {
  return read.catch((error: unknown) => {
    failed(error)
    return null
  })
}

function recordOf(event: RunEvent): Parameters<Producer['send']>[1][number] {
  const key = textBytes(`${event.job.namespace}/${event.job.name}`)
  return { partition: 0, key, value: textBytes(JSON.stringify(event)), headers: [] }
}

function commitEventOf(text: string): CommitEvent | null {
  const event = parsed(text) as Partial<CommitEvent> | null
  const whole =
    typeof event?.stream === 'string' &&
    typeof event.layer === 'string' &&
    Number.isSafeInteger(event.firstOffset) &&
    Number.isSafeInteger(event.nextOffset) &&
    event.counts !== undefined &&
    Array.isArray(event.objects)
  return whole ? (event as CommitEvent) : null
}

function runOf(text: string): Run | null {
  const record = parsed(text) as RunsRecord | null
  return record?.kind === 'run' ? record : null
}

/** What is no JSON is no commit event: the consumer that plans runs counts it and says so. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
