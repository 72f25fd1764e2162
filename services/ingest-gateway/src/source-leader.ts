import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import { retryDelayMs } from '@mesh/shared/core/retry-policy'
import type { Service } from '@mesh/shared/runtime/service'
import type { SourceSession } from './core/ports.ts'
import { sleep } from './sleep.ts'
import { asUnavailable, type SourceGroups } from './source-group.ts'

/** Works until the signal; a rejection means that the session is spent, or that the source cannot be read. */
export type SourceTask = (session: SourceSession, signal: AbortSignal) => Promise<void>

export type SourceLeaderOptions = {
  readonly groups: SourceGroups
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

/** Runs a task in the one process that leads the group. What a former leader still does is fenced by the session's transactional id. */
export function createSourceLeader(options: SourceLeaderOptions): Service {
  const { retryMs = 500 } = options

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

  return options.groups.join(options.groupId, { lead, onFailing: options.onFailing })
}
