import { bytesText, headerText } from '@mesh/shared/core/record'
import { rawTopic } from '@mesh/shared/core/topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { waitFor } from '../../packages/cli/src/wait-for.ts'

export type Envelope = {
  readonly before: Record<string, unknown> | null
  readonly after: Record<string, unknown> | null
  readonly op: string
  readonly source: {
    readonly lsn: number | null
    readonly sequence: string
    readonly snapshot: string
    readonly txId: number | null
  }
}
export type RawChange = {
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly change: Envelope
  readonly oldKey: string | null
  readonly newKey: string | null
  readonly headers: readonly string[]
}

/** What has arrived on a raw topic, read_committed, in order per partition. */
export type RawLog = {
  records(): readonly RawChange[]
  /** Per key the last state: what the table holds, if nothing was lost. */
  folded(): ReadonlyMap<string, Record<string, unknown>>
  /** Waits until `wanted` holds for what has arrived. */
  until(
    wanted: (records: readonly RawChange[]) => boolean,
    what: string,
    timeoutMs?: number,
  ): Promise<readonly RawChange[]>
  stop(): Promise<void>
}

/** Resolves when it has read what was there. */
export async function openRawLog(kafka: KafkaPort, stream: string): Promise<RawLog> {
  const records: RawChange[] = []
  let broken: unknown = null
  const follower = await kafka.follow(rawTopic(stream), {
    from: 'start',
    onFatal: (error) => {
      broken = error
    },
    onBatch(batch) {
      for (const record of batch.records) {
        records.push({
          partition: batch.partition,
          offset: record.offset,
          key: record.key === null ? null : bytesText(record.key),
          change: JSON.parse(bytesText(record.value!)) as Envelope,
          oldKey: headerText(record.headers, '__debezium.oldkey') ?? null,
          newKey: headerText(record.headers, '__debezium.newkey') ?? null,
          headers: record.headers.map(({ name }) => name),
        })
      }
    },
  })
  await follower.caughtUp

  function folded(): Map<string, Record<string, unknown>> {
    const state = new Map<string, Record<string, unknown>>()
    for (const { key, change } of records) {
      if (key === null) continue
      if (change.after === null) state.delete(key)
      else state.set(key, change.after)
    }
    return state
  }

  return {
    records: () => records,
    folded,
    until: (wanted, what, timeoutMs = 120_000) =>
      waitFor(
        () => {
          if (broken) throw broken as Error
          return Promise.resolve(wanted(records) ? records : null)
        },
        { what, timeoutMs, everyMs: 50, progress: () => `${records.length} records` },
      ),
    stop: () => follower.stop(),
  }
}
