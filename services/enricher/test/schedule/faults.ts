import type { Service } from '@mesh/shared/runtime/service'
import type { BrokerRequest, Fault } from '@mesh/shared/testing/memory-broker/endpoint'
import type { MemoryClient, MemoryKafka } from '@mesh/shared/testing/memory-kafka'
import type { VirtualScheduler } from '@mesh/shared/testing/virtual-scheduler'
import type { Faults, Random } from './stream.ts'

const RESTART_MS = 300
/** A stop in good order that takes longer is ended. */
const STOP_MS = 5000
/** A shorter pause than a session, and a longer one. */
const PAUSES_MS = [500, 7000] as const
/** How long the broker keeps a request that it is slow with. */
const SLOW_MS = 1500
/** Requests before and after which a process dies most tellingly: what it decided is half there. */
const WRITES: readonly string[] = ['produce', 'end-transaction', 'offset-commit']

export type Fleet = {
  /** Processes so far. */
  started(): number
  /** Errors that ended a process. */
  readonly fatal: readonly unknown[]
  /** When the last pause is over, epoch ms. */
  quietFrom(): number
  heal(): void
  launch(): void
}

type FleetDeps = { readonly kafka: MemoryKafka; readonly scheduler: VirtualScheduler; readonly random: Random }
type Start = (client: MemoryClient, onFatal: (error: unknown) => void) => Promise<Service>
type Process = { readonly client: MemoryClient; readonly die: () => void; over: boolean }

/**
 * Keeps processes alive while they are killed, stopped, paused for less and for more than a session, and while their requests
 * are lost, answered too late, carried out late or slowly; by dice, and at the very requests that write.
 */
export function createFleet({ kafka, scheduler, random }: FleetDeps, { zombies }: Faults, start: Start): Fleet {
  const processes = new Map<string, Process>()
  const fatal: unknown[] = []
  let started = 0
  let healed = false
  let quietFrom = scheduler.now()

  function launch(): void {
    const name = `enricher ${++started}`
    const client = kafka.client(name)
    const process: Process = { client, over: false, die: end }
    let service: Service | null = null
    processes.set(name, process)

    function end(): void {
      if (process.over) return
      process.over = true
      client.kill()
      scheduler.after(RESTART_MS, launch)
    }

    function fail(error: unknown): void {
      if (process.over) return
      fatal.push(error)
      end()
    }

    function stop(): void {
      scheduler.after(STOP_MS, end)
      service!.stop().then(end, fail)
    }

    function live(): void {
      if (process.over || healed) return
      const dice = random.below(100)
      if (dice < 9) return end()
      if (dice < 13 && service !== null) return stop()
      if (zombies && dice < 30) {
        const length = PAUSES_MS[random.below(2)]!
        freeze(process, length)
        return void scheduler.after(length + 500, live)
      }
      scheduler.after(200 + random.below(1200), live)
    }

    start(client, fail).then((running) => {
      service = running
    }, fail)
    scheduler.after(300, live)
  }

  function freeze({ client }: Process, ms: number): void {
    if (client.state() !== 'running') return
    client.pause()
    quietFrom = Math.max(quietFrom, scheduler.now() + ms)
    scheduler.after(ms, () => client.resume())
  }

  function faultOf({ client, kind }: BrokerRequest): Fault | null | Promise<Fault | null> {
    const process = processes.get(client)
    if (healed || process === undefined) return null
    if (WRITES.includes(kind)) {
      const dice = random.below(100)
      if (dice < 2) {
        process.die()
        return random.chance(0.5) ? 'before' : 'after'
      }
      // It is stopped with the request on its lips: the others take over, then it speaks.
      if (zombies && dice < 4) {
        const ms = PAUSES_MS[1] + random.below(1000)
        freeze(process, ms)
        return held(process, ms)
      }
      if (dice < 7) return held(process, random.below(SLOW_MS))
    }
    return random.chance(0.04) ? (['before', 'after', 'late'] as const)[random.below(3)]! : null
  }

  /** What a process that died meanwhile had sent arrives, or does not. */
  function held(process: Process, ms: number): Promise<Fault | null> {
    const { promise, resolve } = Promise.withResolvers<Fault | null>()
    scheduler.after(ms, () => resolve(process.over && random.chance(0.5) ? 'before' : null))
    return promise
  }

  kafka.fault(faultOf)
  return {
    started: () => started,
    fatal,
    quietFrom: () => quietFrom,
    heal() {
      healed = true
    },
    launch,
  }
}
