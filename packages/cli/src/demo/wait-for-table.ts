import { enricherGroup, rawTopic, refinedTopic } from '@mesh/shared/core/topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { Receipt } from '../gateway-client.ts'
import { waitFor } from '../wait-for.ts'

export type TableWait = {
  readonly kafka: KafkaPort
  readonly enricherUrl: string
  readonly stream: string
  readonly receipts: readonly Receipt[]
  readonly timeoutMs: number
  readonly version?: number
}

/**
 * Waits until events of a reference stream are refined and lie in the enricher's join tables: what is posted to a stream that
 * joins it from now on sees them all.
 */
export async function waitForTable(wait: TableWait): Promise<void> {
  const version = wait.version ?? 1
  const needed = new Map<number, number>()
  for (const { partition, offset } of wait.receipts) {
    if (partition !== undefined && offset !== undefined)
      needed.set(partition, Math.max(needed.get(partition) ?? 0, offset + 1))
  }
  let done = 0
  await waitFor(
    async () => {
      const committed = await wait.kafka.admin.committed(enricherGroup(wait.stream, version), rawTopic(wait.stream))
      done = [...needed].filter(([partition, next]) => (committed.get(partition)?.offset ?? 0) >= next).length
      return done === needed.size ? true : null
    },
    {
      what: `${wait.stream} to be refined`,
      timeoutMs: wait.timeoutMs,
      progress: () => `${done} of ${needed.size} partitions`,
    },
  )
  const topic = refinedTopic(wait.stream, version)
  const ends = await wait.kafka.admin.offsets(topic)
  await waitFor(
    async () => {
      const positions = await tablePositions(wait.enricherUrl, topic)
      return ends.every(({ partition, lastStableOffset: end }) => end === 0 || (positions[partition] ?? 0) >= end)
        ? true
        : null
    },
    { what: `the join table of ${wait.stream} to be read`, timeoutMs: wait.timeoutMs },
  )
}

/** Next offsets of a join table, as the enricher's readiness shows them; a service that is away or has no such table: none. */
async function tablePositions(enricherUrl: string, topic: string): Promise<Readonly<Record<string, number>>> {
  try {
    const answer = (await (await fetch(`${enricherUrl}/readyz`)).json()) as {
      tables?: Record<string, Record<string, number>>
    }
    return answer.tables?.[topic] ?? {}
  } catch {
    return {}
  }
}
