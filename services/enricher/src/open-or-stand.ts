import { describeError, isMeshError } from '@mesh/shared/core/errors'
import { type RetryPolicy, retryDelayMs } from '@mesh/shared/core/retry-policy'
import type { AssignedPartition, Assignment, GroupConsumer } from '@mesh/shared/kafka/port'
import type { Flow, HandlerPace } from './handlers.ts'

export type OpeningDeps = {
  readonly assigned: AssignedPartition
  readonly flow: Pick<Flow, 'stalled'>
  readonly pace: Pick<HandlerPace, 'now' | 'random'>
  readonly consumer: () => Pick<GroupConsumer, 'describe' | 'seek' | 'resume'>
}

/** What is lost, damaged or not there yet may need a person: it is looked for again, ever more rarely. */
const RETRY: RetryPolicy = { initialMs: 1000, maxMs: 60_000, factor: 2, retries: Number.POSITIVE_INFINITY }

/**
 * Kafka itself is away, or the partition is another process's: nothing that this process could wait out. The same goes for what no
 * part of the mesh has named: a request that failed, say. To open later what was assigned before is safe only for what stands still for everybody.
 */
const OF_THE_PROCESS: readonly string[] = [
  'MESH_KAFKA_UNAVAILABLE',
  'MESH_KAFKA_FATAL',
  'MESH_KAFKA_FENCED',
  'MESH_REFINE_FENCED',
]

type Open = (assigned: AssignedPartition) => Promise<Assignment>

/**
 * Opens an assigned partition; a failing `open` leaves nothing behind. One that cannot be opened stands still and says why, while the
 * others go on: nothing of it was decided yet, so it is tried again until it opens or leaves.
 */
export async function openOrStand(open: Open, deps: OpeningDeps): Promise<Assignment> {
  const opened = await tryToOpen(() => open(deps.assigned))
  return opened.assignment ?? standing(open, opened.reason!, deps)
}

type Opened =
  | { readonly assignment: Assignment; readonly reason: null }
  /** Without a reason: it is not, or not at this moment, this member's to open. */
  | { readonly assignment: null; readonly reason: string | null }

async function tryToOpen(open: () => Promise<Assignment | null>): Promise<Opened> {
  try {
    return { assignment: await open(), reason: null }
  } catch (error) {
    if (!isMeshError(error) || OF_THE_PROCESS.includes(error.code)) throw error
    return { assignment: null, reason: `the partition cannot be opened: ${describeError(error)} — ${error.hint}` }
  }
}

function standing(open: Open, reason: string, deps: OpeningDeps): Assignment {
  const { assigned, flow, pace, consumer } = deps
  const { topic, partition, committed, logStartOffset, highWatermark } = assigned
  let assignment: Assignment | null = null
  let tries = 0
  let nextTryMs = 0
  let told = ''
  /** The opening under way, and what came of it. Ticks do not wait for it: it may take longer than a call of a handler may. */
  let trying: Promise<void> | null = null
  let found: Opened | null = null
  let failure: { readonly error: unknown } | null = null

  function stand(why: string): void {
    if (why !== told) flow.stalled({ kind: 'stopped', reason: why })
    told = why
    nextTryMs = pace.now() + retryDelayMs(RETRY, ++tries, pace.random())!
  }

  /**
   * What held at the assignment may not hold any more: what is committed, where the log begins, whose the partition is. Another owner's
   * transactional id must not be taken, and what it has decided must not be decided again.
   */
  async function openAsItIs(): Promise<Assignment | null> {
    const current = await consumer().describe(topic, partition)
    return current && open(current)
  }

  function tryAgain(): void {
    trying = tryToOpen(openAsItIs).then(
      (opened) => {
        found = opened
      },
      (error: unknown) => {
        failure = { error }
      },
    )
  }

  /** From the next call on the handler is the opened one's. */
  function adopt(opened: Assignment): void {
    assignment = opened
    flow.stalled(null)
    consumer().seek(topic, partition, opened.position)
    if (opened.paused !== true) consumer().resume(topic, partition)
  }

  stand(reason)
  return {
    // Within the log, whatever is committed: a client may look at it.
    position: Math.min(Math.max(committed?.offset ?? 0, logStartOffset), highWatermark),
    paused: true,
    handler: {
      async process(batch) {
        if (assignment === null) throw new Error('a partition was read before it was opened')
        return assignment.handler.process(batch)
      },
      async tick() {
        if (assignment !== null) return (await assignment.handler.tick?.()) ?? null
        if (failure !== null) throw failure.error
        if (found !== null) {
          const opened: Opened = found
          trying = found = null
          if (opened.assignment === null) stand(opened.reason ?? told)
          else adopt(opened.assignment)
        } else if (trying === null && pace.now() >= nextTryMs) tryAgain()
        return null
      },
      committed: async (progress) => assignment?.handler.committed?.(progress),
      async close(why) {
        // The next owner may be this process: what is being opened ends before it begins.
        await trying
        const handler = (assignment ?? found?.assignment)?.handler
        if (assignment === null) flow.stalled(null)
        return (await handler?.close?.(why)) ?? null
      },
    },
  }
}
