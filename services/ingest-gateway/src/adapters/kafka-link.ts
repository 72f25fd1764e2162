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
  /** A defect: what the link calls must not throw. */
  readonly onFatal: (error: unknown) => void
  /** How often a link that holds is proved, ms; also how long one proof may take. */
  readonly probeMs?: number
  /** Pause before a lost link is tried again, ms. */
  readonly retryMs?: number
}

export type LinkState = {
  readonly reachable: boolean
  /** `mesh.versions` has been read to its end at least once. */
  readonly caughtUp: boolean
  readonly error: string | null
}

export type KafkaLink = Service & {
  /** The one shared producer; null until Kafka was reached. */
  readonly producer: () => Producer | null
  readonly state: () => LinkState
}

const PROBE_MS = 5000
const RETRY_MS = 1000

/**
 * Connects in the background and keeps proving that Kafka answers: the process lives, and says so, before and without Kafka. A
 * follower of `mesh.versions` that breaks is replaced; nothing is lost, since it reads the topic from its start.
 */
export function createKafkaLink(options: KafkaLinkOptions): KafkaLink {
  const { kafka, probeMs = PROBE_MS, retryMs = RETRY_MS } = options
  let producer: Producer | null = null
  let view: VersionsView | null = null
  let caughtUp = false
  let reachable = false
  let lost: string | null = null
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let working: Promise<void> = Promise.resolve()

  async function prove(): Promise<void> {
    try {
      producer ??= await kafka.producer()
      if (view === null) await follow()
      await within(kafka.admin.topicIds([VERSIONS_TOPIC]), probeMs)
      if (lost !== null) options.onBack()
      reachable = true
      lost = null
    } catch (error) {
      if (lost === null && !stopped) options.onLost(error)
      reachable = false
      lost = describeError(error)
    }
    if (!stopped) timer = setTimeout(next, reachable && view !== null ? probeMs : retryMs)
  }

  async function follow(): Promise<void> {
    // Either callback may come before `followVersions` has returned.
    let following: VersionsView | null = null
    let broken = false
    function changed(): void {
      if (following !== null) options.onVersions(following.current()).catch(options.onFatal)
    }
    function broke(): void {
      broken = true
      if (view === following) view = null
    }
    following = await followVersions(kafka, changed, broke)
    await options.onVersions(following.current())
    caughtUp = true
    if (!broken) view = following
  }

  function next(): void {
    working = prove()
  }

  return {
    producer: () => producer,
    state: () => ({ reachable, caughtUp, error: lost }),
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
