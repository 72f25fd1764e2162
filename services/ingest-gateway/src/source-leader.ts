import { setTimeout as delay } from 'node:timers/promises'
import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import { retryDelayMs } from '@mesh/shared/core/retry-policy'
import { CURSORS_TOPIC } from '@mesh/shared/core/topics'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import type { GroupConsumer, KafkaPort } from '@mesh/shared/kafka/port'
import type { Service } from '@mesh/shared/runtime/service'
import type { SourceSession } from './core/ports.ts'

/** Works until the signal; a rejection means that the session is spent, or that the source cannot be read. */
export type SourceTask = (session: SourceSession, signal: AbortSignal) => Promise<void>

export type SourceLeaderOptions = {
  readonly kafka: KafkaPort
  readonly groupId: string
  readonly open: () => Promise<SourceSession>
  readonly task: SourceTask
  readonly onLed: (leads: boolean) => void
  readonly onFailing: (error: MeshError) => void
  readonly random: () => number
  /** First pause after a failure, ms; doubles up to 30 s. */
  readonly retryMs?: number
}

/** Long enough for a process that was paused to learn that its partition has another owner. */
const FENCED_PAUSE_MS = 3000
const MAX_RETRY_MS = 30_000

/**
 * Runs a task in one process of all that have it: the one to which the consumer group gives partition 0 of `mesh.cursors`. Nothing is
 * consumed there. What a former owner still does is fenced by the session's transactional id.
 */
export function createSourceLeader(options: SourceLeaderOptions): Service {
  const { kafka, retryMs = 500 } = options
  const stopped = new AbortController()
  let consumer: GroupConsumer | null = null
  let working: Promise<void> = Promise.resolve()
  /** Ends what this process leads; the group does not say so when it breaks. */
  let resign: () => Promise<void> = () => Promise.resolve()

  async function join(): Promise<void> {
    for (let attempt = 1; !stopped.signal.aborted; attempt++) {
      const broken = Promise.withResolvers<unknown>()
      const own = kafka.consumer({
        groupId: options.groupId,
        topics: [CURSORS_TOPIC],
        onFatal: broken.resolve,
        assign: ({ highWatermark }) => Promise.resolve({ position: highWatermark, paused: true, handler: leading() }),
      })
      try {
        // A mesh that was applied before there were sources has no such topic.
        await kafka.admin.ensureTopics(meshTopics().filter(({ name }) => name === CURSORS_TOPIC))
        await own.start()
        consumer = own
        attempt = 0
        if (stopped.signal.aborted) return
        throw await Promise.race([broken.promise, aborted(stopped.signal)])
      } catch (error) {
        consumer = null
        await resign()
        if (stopped.signal.aborted) return own.stop().catch(() => undefined)
        options.onFailing(asUnavailable(error))
      }
      await pause(attempt + 1, stopped.signal)
    }
  }

  function leading(): { process: () => Promise<null>; close: () => Promise<null> } {
    const revoked = new AbortController()
    const signal = AbortSignal.any([revoked.signal, stopped.signal])
    const former = resign()
    const led = former.then(() => lead(signal))
    resign = () => {
      revoked.abort()
      return led
    }
    return { process: () => Promise.resolve(null), close: () => resign().then(() => null) }
  }

  async function lead(signal: AbortSignal): Promise<void> {
    options.onLed(true)
    for (let attempt = 1; !signal.aborted; attempt++) {
      let session: SourceSession | null = null
      try {
        session = await options.open().catch((error: unknown) => {
          throw asUnavailable(error)
        })
        if (!signal.aborted) await options.task(session, signal)
      } catch (error) {
        if (signal.aborted) break
        options.onFailing(
          isMeshError(error) ? error : new MeshError('MESH_INTERNAL', 'reading the source', { cause: error }),
        )
        if (isMeshError(error) && error.code === 'MESH_KAFKA_FENCED') await sleep(FENCED_PAUSE_MS, signal)
        else await pause(attempt, signal)
      } finally {
        await session?.close().catch(() => undefined)
      }
    }
    options.onLed(false)
  }

  function pause(attempt: number, signal: AbortSignal): Promise<void> {
    const policy = { initialMs: retryMs, maxMs: MAX_RETRY_MS, factor: 2, retries: Infinity }
    return sleep(retryDelayMs(policy, attempt, options.random())!, signal)
  }

  return {
    async start() {
      working = join()
    },
    async stop() {
      stopped.abort()
      // Handlers are closed, and so tasks ended, before the group is left.
      await consumer?.stop().catch(() => undefined)
      await working
    },
  }
}

/** Ends early at the signal, without an error. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await delay(Math.min(Math.max(ms, 0), 2_147_483_647), undefined, { signal }).catch(() => undefined)
}

function aborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason), { once: true }))
}

/** What Kafka's client throws by itself says that Kafka is away. */
function asUnavailable(error: unknown): MeshError {
  return isMeshError(error) ? error : new MeshError('MESH_KAFKA_UNAVAILABLE', 'Kafka does not answer', { cause: error })
}
