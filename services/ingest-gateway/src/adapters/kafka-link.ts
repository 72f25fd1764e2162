import { describeError } from '@mesh/shared/core/errors'
import { VERSIONS_TOPIC } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import { followVersions, type VersionsView } from '@mesh/shared/kafka/versions'
import type { Service } from '@mesh/shared/runtime/service'

export type KafkaLinkOptions = {
  readonly kafka: KafkaPort
  readonly onVersions: (all: ReadonlyMap<string, StreamVersions>) => Promise<void>
  readonly onLost: (error: unknown) => void
  readonly onBack: () => void
  readonly onFatal: (error: unknown) => void
  /** How often the link is proved, and how long it waits before it tries to connect again. */
  readonly probeMs?: number
}

export type KafkaLink = Service & {
  /** The one shared producer; null until Kafka was reached. */
  readonly producer: () => Producer | null
  /** True while Kafka answers, and `mesh.versions` has been read to its end. */
  readonly state: () => { readonly reachable: boolean; readonly caughtUp: boolean; readonly error: string | null }
}

const PROBE_MS = 5000

/**
 * Connects in the background and keeps proving that Kafka answers: the process lives, and says so, before and without Kafka.
 */
export function createKafkaLink(options: KafkaLinkOptions): KafkaLink {
  const { kafka } = options
  const probeMs = options.probeMs ?? PROBE_MS
  let producer: Producer | null = null
  let view: VersionsView | null = null
  let reachable = false
  let lost: string | null = null
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let working: Promise<void> = Promise.resolve()

  async function prove(): Promise<void> {
    try {
      await connect()
      await within(kafka.admin.topicIds([VERSIONS_TOPIC]), probeMs)
      if (lost !== null) options.onBack()
      reachable = true
      lost = null
    } catch (error) {
      if (lost === null && !stopped) options.onLost(error)
      reachable = false
      lost = describeError(error)
    }
    if (!stopped) timer = setTimeout(next, probeMs)
  }

  async function connect(): Promise<void> {
    if (stopped) return
    producer ??= await kafka.producer()
    view ??= await followVersions(kafka, publish, options.onFatal)
    if (!published) await publishNow()
  }

  let published = false
  function publish(): void {
    publishNow().catch(options.onFatal)
  }
  async function publishNow(): Promise<void> {
    if (view === null) return
    await options.onVersions(view.current())
    published = true
  }

  function next(): void {
    working = prove()
  }

  return {
    producer: () => producer,
    state: () => ({ reachable, caughtUp: published, error: lost }),
    async start() {
      next()
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
      await working
      await view?.stop()
      await producer?.close()
    },
  }
}

async function within<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([work, deadline])
  } finally {
    clearTimeout(timer)
  }
}
