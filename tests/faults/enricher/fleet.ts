import { join } from 'node:path'
import {
  type KafkaProxy,
  type ProxiedRequest,
  type ProxyVerdict,
  startKafkaProxy,
} from '@mesh/shared/testing/kafka-proxy'
import { serviceEnvironment } from '../../../packages/cli/src/stack/environment.ts'
import { findFreePorts } from '../../../packages/cli/src/stack/ports.ts'
import { serviceSpec } from '../../../packages/cli/src/stack/service.ts'
import { createSupervisor, type SupervisedChild } from '../../../packages/cli/src/stack/supervisor.ts'
import type { MeshUnderTest } from '../../e2e/mesh-under-test.ts'

/** Small steps: a fault finds something half done more often. */
const PACE = {
  MESH_ENRICHER_COMMIT_INTERVAL: '200ms',
  MESH_ENRICHER_TRANSACTION_INTERVAL: '100ms',
  MESH_ENRICHER_MAX_CHUNK_BYTES: '10000',
  MESH_ENRICHER_DEDUPE_SEGMENT_IDS: '64',
  MESH_LOG_LEVEL: 'info',
} as const

/** Enricher processes of one mesh, each behind a proxy of its own, started again when they end. */
export type Fleet = {
  readonly members: readonly string[]
  /** Sends a signal to a process; false when there is none at the moment. */
  signal(member: string, signal: NodeJS.Signals): boolean
  /** Stops in good order, and stays away until `join`. */
  leave(member: string): Promise<void>
  join(member: string): Promise<void>
  /** How often it has ended without being asked to. */
  deaths(member: string): number
  /** Loses requests or answers of one member as told; null ends it. Returns how many verdicts were not `pass`. */
  lose(member: string, verdict: ((request: ProxiedRequest) => ProxyVerdict) | null): () => number
  /** The body of `/readyz`, or null when nothing answers. */
  readiness(member: string): Promise<string | null>
  stop(): Promise<void>
}

export async function startFleet(mesh: MeshUnderTest, members: readonly string[]): Promise<Fleet> {
  const { addresses } = mesh.stack
  const dir = join(mesh.projectDir, '.mesh', 'fleet')
  const ports = await findFreePorts(members)
  const proxies = new Map<string, KafkaProxy>()
  const deaths = new Map<string, number>()
  const started = new Set<string>()
  const supervisor = createSupervisor({
    onDeath: ({ name, exit }) => {
      deaths.set(name, (deaths.get(name) ?? 0) + 1)
      console.log(`[faults] ${name} ended (${exit.signal ?? `exit code ${exit.code}`})`)
    },
  })

  async function childOf(member: string): Promise<SupervisedChild> {
    const proxy = await startKafkaProxy(addresses.kafkaBrokers)
    proxies.set(member, proxy)
    const port = ports[member]!
    const scratch = join(dir, member)
    const spec = serviceSpec({
      name: 'enricher',
      folder: join(mesh.root, 'services'),
      port,
      env: serviceEnvironment({
        env: process.env,
        addresses: { ...addresses, kafkaBrokers: proxy.address },
        port,
        scratch,
        own: PACE,
      }),
      scratch,
      // Beside the stack's own: the reasons that services give are told at the end.
      logFile: join(mesh.projectDir, '.mesh', 'logs', `${member}.log`),
      pidFile: join(dir, `${member}.pid`),
    })
    return { spec: { ...spec, name: member }, port, restarts: true }
  }

  async function enter(member: string): Promise<void> {
    if (started.has(member)) return supervisor.resume(member)
    await supervisor.add(await childOf(member))
    started.add(member)
  }

  async function stop(): Promise<void> {
    await supervisor.stop()
    for (const proxy of proxies.values()) await proxy.close()
  }

  const fleet: Fleet = {
    members,
    signal: (member, signal) => supervisor.kill(member, signal),
    leave: (member) => supervisor.halt(member),
    join: enter,
    deaths: (member) => deaths.get(member) ?? 0,
    lose(member, verdict) {
      let lost = 0
      proxies.get(member)!.intercept(
        verdict &&
          ((request) => {
            const chosen = verdict(request)
            if (chosen !== 'pass') lost++
            return chosen
          }),
      )
      return () => lost
    },
    async readiness(member) {
      try {
        return await (
          await fetch(`http://127.0.0.1:${ports[member]}/readyz`, { signal: AbortSignal.timeout(2000) })
        ).text()
      } catch {
        return null // it is being started again, or stands still
      }
    },
    stop,
  }
  return fleet
}
