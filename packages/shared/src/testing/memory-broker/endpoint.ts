import { type Scheduler, sleep } from '../../kafka/scheduler.ts'
import { BrokerError } from './broker-error.ts'

export type RequestKind =
  | 'produce'
  | 'init-producer'
  | 'add-to-transaction'
  | 'txn-offset-commit'
  | 'end-transaction'
  | 'offset-commit'
  | 'offset-fetch'
  | 'describe-group'
  | 'fetch'
  | 'metadata'
  | 'admin'

/** `nth` counts a client's requests of one kind, from 1, repetitions included. */
export type BrokerRequest = { readonly kind: RequestKind; readonly client: string; readonly nth: number }

/**
 * What happens to a request: lost on the way there; done, and its answer lost; or given up by the client and done later. The
 * client sees a time-out each time.
 */
export type Fault = 'before' | 'after' | 'late'

export type FaultHook = (request: BrokerRequest) => Fault | null | Promise<Fault | null>

export type Network = {
  /** Asked for every request; null lets it through, a promise holds it on the way there. */
  fault: FaultHook
  /** Ms that a request, and again its answer, is under way. 0 is at once. */
  latency(request: BrokerRequest): number
  /** Resolves when the broker takes requests. */
  open(): Promise<void> | null
}

/** One client process's way to the broker. */
export type Endpoint = {
  readonly client: string
  /** Carries a request out. @throws BrokerError */
  call<T>(kind: RequestKind, effect: () => T): Promise<T>
  /** The process's timers: they stand still with it. */
  readonly scheduler: Scheduler
  readonly state: () => 'running' | 'paused' | 'killed'
  /** Stops the process as SIGSTOP does: no timer, no request, no answer, until `resume`. */
  pause(): void
  resume(): void
  /** Ends it as SIGKILL does: nothing of it ever settles again. */
  kill(): void
  /** Runs now, or when the process goes on; never after its end. */
  whenRunning(task: () => void): void
}

const LATE_MS = 500

export function createEndpoint(client: string, scheduler: Scheduler, network: Network): Endpoint {
  const counts = new Map<RequestKind, number>()
  const waiting: (() => void)[] = []
  const repeating = new Set<() => void>()
  let state: 'running' | 'paused' | 'killed' = 'running'

  function whenRunning(task: () => void): void {
    if (state === 'running') task()
    else if (state === 'paused') waiting.push(task)
  }

  async function running(): Promise<void> {
    if (state !== 'running') await new Promise<void>((resolve) => whenRunning(resolve))
  }

  async function travel(request: BrokerRequest): Promise<void> {
    const ms = network.latency(request)
    if (ms > 0) await sleep(scheduler, ms)
  }

  async function call<T>(kind: RequestKind, effect: () => T): Promise<T> {
    await running()
    const nth = (counts.get(kind) ?? 0) + 1
    counts.set(kind, nth)
    const request = { kind, client, nth }
    let fault = network.fault(request)
    if (fault instanceof Promise) fault = await fault
    const closed = network.open()
    if (closed) await closed
    await travel(request)
    if (fault === 'before') throw await lost()
    if (fault === 'late') {
      scheduler.after(LATE_MS, () => ignoreAnswer(effect))
      throw await lost()
    }
    // A process that ended meanwhile has still sent its request.
    const answer = settle(effect)
    await travel(request)
    await running()
    if (fault === 'after') throw new BrokerError('REQUEST_TIMED_OUT')
    if ('error' in answer) throw answer.error
    return answer.value
  }

  async function lost(): Promise<BrokerError> {
    await running()
    return new BrokerError('REQUEST_TIMED_OUT')
  }

  return {
    client,
    call,
    whenRunning,
    state: () => state,
    scheduler: {
      now: () => scheduler.now(),
      after: (ms, task) => scheduler.after(ms, () => whenRunning(task)),
      every(ms, task) {
        let due = false
        const cancel = scheduler.every(ms, () => {
          if (due) return
          due = true
          whenRunning(() => {
            due = false
            task()
          })
        })
        repeating.add(cancel)
        return () => {
          repeating.delete(cancel)
          cancel()
        }
      },
    },
    pause() {
      if (state === 'running') state = 'paused'
    },
    resume() {
      if (state !== 'paused') return
      state = 'running'
      for (const task of waiting.splice(0)) task()
    },
    kill() {
      state = 'killed'
      waiting.length = 0
      for (const cancel of repeating) cancel()
    },
  }
}

type Answer<T> = { readonly value: T } | { readonly error: unknown }

function settle<T>(effect: () => T): Answer<T> {
  try {
    return { value: effect() }
  } catch (error) {
    return { error }
  }
}

function ignoreAnswer(effect: () => unknown): void {
  settle(effect)
}
