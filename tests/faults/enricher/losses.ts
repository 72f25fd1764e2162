import type { API, ProxiedRequest, ProxyVerdict } from '@mesh/shared/testing/kafka-proxy'
import { waitFor } from '../../../packages/cli/src/wait-for.ts'
import { seeded } from '../../../services/enricher/test/seeded.ts'
import type { FaultWorld, Round } from './world.ts'

/** Where a request is lost: with its answer (the broker has done it), before the broker sees it, or in a silence. */
export type Loss = Exclude<ProxyVerdict, 'pass'>

/** Loses every so many requests of an api key, at most `times`. */
function loses(apiKey: number, verdicts: readonly Loss[], random: ReturnType<typeof seeded>, times: number) {
  let left = times
  let wait = 1 + random.below(4)
  return (request: ProxiedRequest): ProxyVerdict => {
    if (request.apiKey !== apiKey || left === 0 || --wait > 0) return 'pass'
    left--
    wait = 3 + random.below(12)
    return verdicts[random.below(verdicts.length)]!
  }
}

export type LossOptions = {
  readonly apiKey: (typeof API)[keyof typeof API]
  readonly verdicts: readonly Loss[]
  readonly times: number
}

/** Loses requests of all members until each has lost its share; the mesh works on meanwhile. */
export async function loseRequests(world: FaultWorld, members: readonly string[], options: LossOptions): Promise<void> {
  const { fleet, seed } = world
  const lost = members.map((member, i) =>
    fleet.lose(member, loses(options.apiKey, options.verdicts, seeded(seed * 31 + i), options.times)),
  )
  try {
    await waitFor(async () => (lost.every((count) => count() >= options.times) ? true : null), {
      what: `${options.times} requests of api key ${options.apiKey} to be lost by ${members.join(' and ')}`,
      timeoutMs: 300_000,
      progress: () => lost.map((count) => count()).join(' and '),
    })
  } finally {
    for (const member of members) fleet.lose(member, null)
  }
}

/** Kills a member once the round has made some progress, as the seed says when. */
export async function killInMidWork(
  world: FaultWorld,
  round: Round,
  member: string,
  random: ReturnType<typeof seeded>,
): Promise<void> {
  await round.progress(20 + random.below(150), `outputs before ${member} is killed`)
  await killRunning(world, member)
}

/** Kills a member and returns once it is dead. */
export async function killRunning(world: FaultWorld, member: string): Promise<void> {
  const deaths = world.fleet.deaths(member)
  await signalRunning(world, member, 'SIGKILL')
  await waitFor(async () => (world.fleet.deaths(member) > deaths ? true : null), {
    what: `${member} to die`,
    timeoutMs: 30_000,
  })
}

/** Sends a signal to a member, which may be being started again at the moment. */
export async function signalRunning(world: FaultWorld, member: string, signal: NodeJS.Signals): Promise<void> {
  await waitFor(async () => (world.fleet.signal(member, signal) ? true : null), {
    what: `${member} to run, for ${signal}`,
    timeoutMs: 120_000,
  })
}
