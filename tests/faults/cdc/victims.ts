import { waitFor } from '../../../packages/cli/src/wait-for.ts'
import type { SourceView } from '../../../services/ingest-gateway/src/source-service.ts'
import type { CdcWorld } from '../../cdc/cdc-world.ts'

/** What takes part in capturing; the gateway leads connectors, polls and audits. */
export const VICTIMS = ['kafka-connect', 'postgres', 'ingest-gateway', 'kafka'] as const
export type Victim = (typeof VICTIMS)[number]

const BACK_MS = 240_000

/** SIGKILL. Resolves when nothing of it runs any more, or, of the broker, when it runs again: nobody else starts it. */
export async function kill(world: CdcWorld, victim: Victim): Promise<void> {
  if (victim === 'kafka') await world.stack.restart('kafka', 'SIGKILL')
  else if (!world.stack.kill(victim, 'SIGKILL')) throw new Error(`${victim} did not run`)
}

/**
 * Waits until changes are captured from end to end again: database, Connect and broker by a heartbeat that has come through, the gateway by
 * what it tells.
 */
export async function recovered(world: CdcWorld, source: string): Promise<void> {
  const before = await retried(() => heartbeats(world, source), 'the broker to answer')
  await waitFor(async () => ((await heartbeats(world, source).catch(() => 0)) > before + 3 ? true : null), {
    what: 'heartbeats to come through',
    timeoutMs: BACK_MS,
  })
  await waitFor(
    async () => {
      const view = await world.ask<SourceView>('GET', '/v1/sources').catch(() => null)
      return view?.leader && view.sources.some((one) => one.source === source && one.state === 'running') ? true : null
    },
    { what: 'the gateway to lead', timeoutMs: BACK_MS },
  )
}

/** Control records count too: of each heartbeat's transaction one. */
async function heartbeats(world: CdcWorld, source: string): Promise<number> {
  const offsets = await world.kafka.admin.offsets(`mesh.heartbeat.${source}`)
  return offsets.reduce((sum, { lastStableOffset }) => sum + lastStableOffset, 0)
}

function retried<T>(work: () => Promise<T>, what: string): Promise<T> {
  return waitFor(() => work().catch(() => null), { what, timeoutMs: BACK_MS })
}
