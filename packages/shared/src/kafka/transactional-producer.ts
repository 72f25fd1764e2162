import { isMeshError, MeshError } from '../core/errors.ts'
import { MAX_METADATA_BYTES } from './lane-work.ts'
import type {
  Committed,
  Progress,
  TopicWrite,
  TransactionalOptions,
  TransactionalProducer,
  TransactionStep,
} from './port.ts'
import { type Scheduler, sleep } from './scheduler.ts'

/** What the transactional producer asks of a client, whichever it is. */
export type TransactionClient = {
  /** Initialises the id: fences its former holder and waits until that one's open transaction has ended. */
  open(): Promise<TransactionSession>
  /**
   * The group's offset as it shows now, or, once the id is this client's, as the last ended transaction left it: `stable` waits
   * for that.
   */
  committed(topic: string, partition: number, stable: boolean): Promise<Committed | null>
  readonly scheduler: Scheduler
}

/**
 * One initialisation of a transactional id. After any error it is discarded: only a new one says where things stand.
 * Errors: MESH_KAFKA_FENCED when the id has another owner, MESH_KAFKA_RECORD_TOO_LARGE when a batch was refused.
 */
export type TransactionSession = {
  /** Begins a transaction if none is open. Resolves with the offset of each record, per write. */
  write(writes: readonly TopicWrite[]): Promise<number[][]>
  commitOffset(topic: string, partition: number, progress: Progress): Promise<void>
  /** A rejection leaves the outcome unknown. */
  commit(): Promise<void>
  discard(): Promise<void>
}

export const DEFAULT_TRANSACTION_TIMEOUT_MS = 60_000
const RETRY_MS = 100

/** Where a step stands: `committed` is `unknown` when the end of the transaction was asked for and not answered. */
type Attempt =
  | { readonly outcome: 'committed'; readonly offsets: number[][] }
  | { readonly outcome: 'unknown'; readonly offsets: number[][]; readonly cause: unknown }
  | { readonly outcome: 'absent'; readonly cause: unknown }

/** `KafkaPort.transactional`, written once for every client: order of steps, recovery of unknown outcomes, fencing. */
export async function createTransactionalProducer(
  client: TransactionClient,
  options: TransactionalOptions,
): Promise<TransactionalProducer> {
  const { transactionalId } = options
  const timeoutMs = options.timeoutMs ?? DEFAULT_TRANSACTION_TIMEOUT_MS
  let session: TransactionSession | null = await openFirst(client, transactionalId, timeoutMs)
  let spent: unknown = null
  let closed = false
  /** Per `topic/partition` what the group has committed, as this owner knows it. */
  const known = new Map<string, Committed | null>()
  let tail: Promise<unknown> = Promise.resolve()

  function enqueue<T>(work: () => Promise<T>): Promise<T> {
    const done = tail.then(work)
    tail = done.catch(() => undefined)
    return done
  }

  async function committed(topic: string, partition: number): Promise<Committed | null> {
    if (options.group === undefined) throw misuse('a producer without a group has no committed offset')
    const found = await client.committed(topic, partition, true)
    known.set(`${topic}/${partition}`, found)
    return found
  }

  async function transact(step: TransactionStep): Promise<number[][]> {
    if (spent !== null) throw spent
    if (step.writes.length === 0 && step.offset === null) return []
    try {
      const offsets = await settle(step, await committedBefore(step))
      if (step.offset !== null) known.set(placeOf(step.offset), asCommitted(step.offset.progress))
      return offsets
    } catch (error) {
      if (!isMeshError(error) || error.code !== 'MESH_KAFKA_RECORD_TOO_LARGE') spent = error
      await discard()
      throw error
    }
  }

  async function committedBefore(step: TransactionStep): Promise<Committed | null> {
    if (step.offset === null) return null
    const { topic, partition, progress } = step.offset
    const place = placeOf(step.offset)
    if (Buffer.byteLength(progress.metadata) > MAX_METADATA_BYTES)
      throw misuse(`offset metadata is longer than the broker's ${MAX_METADATA_BYTES} bytes`, place)
    const before = known.has(place) ? known.get(place)! : await committed(topic, partition)
    if (isSame(before, asCommitted(progress))) throw misuse('a step moves the offset or its metadata', place)
    return before
  }

  async function settle(step: TransactionStep, before: Committed | null): Promise<number[][]> {
    const deadline = client.scheduler.now() + timeoutMs
    for (;;) {
      // Without a session the id may be somebody else's: it is taken back only if nothing has moved.
      const attempt: Attempt = session
        ? await tryOnce(session, step)
        : { outcome: 'absent', cause: new Error('the session was discarded') }
      if (attempt.outcome === 'committed') return attempt.offsets
      const found = await reopen(step, before, { deadline, cause: attempt.cause })
      if (found === 'absent') continue
      // What was never asked for and is there was written by a successor.
      if (attempt.outcome === 'absent') throw fenced(attempt.cause)
      return attempt.offsets
    }
  }

  async function tryOnce(own: TransactionSession, step: TransactionStep): Promise<Attempt> {
    let offsets: number[][] = []
    let ending = false
    try {
      if (step.writes.length > 0) offsets = await own.write(step.writes)
      if (step.offset !== null) await own.commitOffset(step.offset.topic, step.offset.partition, step.offset.progress)
      ending = true
      await own.commit()
      return { outcome: 'committed', offsets }
    } catch (cause) {
      if (isMeshError(cause) && isFinal(cause)) throw cause
      return ending ? { outcome: 'unknown', offsets, cause } : { outcome: 'absent', cause }
    }
  }

  /** Takes the id back and says what became of the step. */
  async function reopen(
    step: TransactionStep,
    before: Committed | null,
    { deadline, cause }: { deadline: number; cause: unknown },
  ): Promise<'committed' | 'absent'> {
    for (let last = cause; ; await sleep(client.scheduler, RETRY_MS)) {
      if (client.scheduler.now() > deadline) {
        const message = `the outcome of a transaction is unknown after ${timeoutMs} ms`
        throw new MeshError('MESH_KAFKA_UNAVAILABLE', message, { place: transactionalId, cause: last })
      }
      try {
        await discard()
        // A successor that has moved on keeps the id.
        if (step.offset !== null) await judge(step, before, false)
        session = await client.open()
        return await judge(step, before, true)
      } catch (error) {
        if (isMeshError(error) && isFinal(error)) throw error
        last = error
      }
    }
  }

  async function judge(
    step: TransactionStep,
    before: Committed | null,
    stable: boolean,
  ): Promise<'committed' | 'absent'> {
    if (step.offset === null) {
      const verdict = await step.decide()
      if (verdict === 'foreign') throw fenced()
      return verdict
    }
    const found = await client.committed(step.offset.topic, step.offset.partition, stable)
    if (isSame(found, asCommitted(step.offset.progress))) return 'committed'
    if (isSame(found, before)) return 'absent'
    throw fenced()
  }

  async function discard(): Promise<void> {
    const former = session
    session = null
    await former?.discard().catch(() => undefined)
  }

  function fenced(cause?: unknown): MeshError {
    const message = 'another owner has moved on'
    return new MeshError('MESH_KAFKA_FENCED', message, { place: transactionalId, ...(cause ? { cause } : {}) })
  }

  function misuse(message: string, place: string = transactionalId): MeshError {
    return new MeshError('MESH_INTERNAL', message, { place })
  }

  return {
    committed: (topic, partition) => enqueue(() => committed(topic, partition)),
    transact(step) {
      if (!closed) return enqueue(() => transact(step))
      return Promise.reject(
        new MeshError('MESH_KAFKA_UNAVAILABLE', 'the producer is closed', { place: transactionalId }),
      )
    },
    async close() {
      closed = true
      await tail
      await discard()
    },
  }
}

async function openFirst(client: TransactionClient, place: string, timeoutMs: number): Promise<TransactionSession> {
  const deadline = client.scheduler.now() + timeoutMs
  for (;;) {
    try {
      return await client.open()
    } catch (error) {
      if (isMeshError(error) && isFinal(error)) throw error
      if (client.scheduler.now() > deadline)
        throw new MeshError('MESH_KAFKA_UNAVAILABLE', 'a transactional id cannot be opened', { place, cause: error })
      await sleep(client.scheduler, RETRY_MS)
    }
  }
}

/** Nothing that is tried again would change these. */
function isFinal({ code }: MeshError): boolean {
  return code === 'MESH_KAFKA_FENCED' || code === 'MESH_KAFKA_RECORD_TOO_LARGE' || code === 'MESH_INTERNAL'
}

function asCommitted({ nextOffset, metadata }: Progress): Committed {
  return { offset: nextOffset, metadata }
}

function isSame(a: Committed | null, b: Committed | null): boolean {
  return a?.offset === b?.offset && a?.metadata === b?.metadata
}

function placeOf({ topic, partition }: { topic: string; partition: number }): string {
  return `${topic}/${partition}`
}
