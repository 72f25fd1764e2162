import { describeError } from '@mesh/shared/core/errors'
import { bytesText, type RecordBatch } from '@mesh/shared/core/record'
import type { Follower, KafkaPort } from '@mesh/shared/kafka/port'
import type { Service } from '@mesh/shared/runtime/service'

/** The latest JSON value per key of a topic, followed from its start. */
export type TopicTable<V> = Service & {
  current(): ReadonlyMap<string, V>
  /** True once everything that was in the topic at the start has been read. */
  caughtUp(): boolean
  /** Why the topic cannot be followed at present, else null. */
  problem(): string | null
}

export type TopicTableOptions = {
  readonly kafka: Pick<KafkaPort, 'follow' | 'admin'>
  readonly topic: string
  readonly retryMs: number
}

/**
 * Never ends the process: a topic that is not there yet, or a broker that went away, is a problem to show and to try again. What
 * was read before stays until the next attempt has caught up.
 */
export function createTopicTable<V>({ kafka, topic, retryMs }: TopicTableOptions): TopicTable<V> {
  let shown = new Map<string, V>()
  let follower: Follower | null = null
  let caughtUp = false
  let problem: string | null = null
  let retry: NodeJS.Timeout | undefined
  let stopped = false

  async function follow(): Promise<void> {
    if (stopped) return
    try {
      if (!(await kafka.admin.topicIds([topic])).has(topic)) throw new Error('there is no such topic yet')
      const filling = new Map<string, V>()
      const opened = await kafka.follow(topic, {
        from: 'start',
        onBatch: (batch) => apply(filling, batch),
        onFatal: (error) => failed(error),
      })
      if (stopped) return await opened.stop()
      follower = opened
      await opened.caughtUp
      shown = filling
      caughtUp = true
      problem = null
    } catch (error) {
      failed(error)
    }
  }

  function failed(error: unknown): void {
    if (stopped) return
    problem = `${topic} cannot be read: ${describeError(error)}`
    const broken = follower
    follower = null
    void broken?.stop().catch(() => {})
    clearTimeout(retry)
    retry = setTimeout(() => void follow(), retryMs)
  }

  return {
    async start() {
      void follow()
    },
    async stop() {
      stopped = true
      clearTimeout(retry)
      await follower?.stop()
    },
    current: () => shown,
    caughtUp: () => caughtUp,
    problem: () => problem,
  }
}

function apply<V>(table: Map<string, V>, batch: RecordBatch): void {
  for (const { key, value } of batch.records) {
    if (key === null) continue
    if (value === null) table.delete(bytesText(key))
    else {
      const parsed = parse<V>(bytesText(value))
      if (parsed !== null) table.set(bytesText(key), parsed)
    }
  }
}

/** Null for what is no JSON: a page that only shows is no judge of it. */
function parse<V>(text: string): V | null {
  try {
    return JSON.parse(text) as V
  } catch {
    return null
  }
}
