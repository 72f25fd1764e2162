import { MeshError } from '@mesh/shared/core/errors'
import type { CommandContext } from './command.ts'
import { accessMesh, type MeshAccess } from './mesh-access.ts'
import type { StackAddresses } from './stack/environment.ts'
import { readRunningStack } from './stack/running.ts'
import { runningLayout } from './stack/running-layout.ts'
import { withLocalSecrets } from './stack/secrets.ts'
import { stateLayout } from './stack/state.ts'

export type MeshChoice = {
  /** The streams of this folder are compared or applied: the mesh of `--sources`, which has other ones, will not do. */
  readonly withItsStreams?: boolean
}

/**
 * The mesh that a command talks to: the one the environment names (MESH_KAFKA_BROKERS and its siblings), else the local stack, else
 * that of `--sources`.
 * @throws MeshError MESH_STACK_NOT_RUNNING
 */
export function runningMesh(context: CommandContext, options: MeshChoice = {}): MeshAccess {
  const named = addressesFromEnvironment(context)
  if (named) return accessMesh(named, context.env)
  const layout = options.withItsStreams ? stateLayout(context.stateDir()) : runningLayout(context)
  const stack = readRunningStack(layout)
  if (!stack) throw new MeshError('MESH_STACK_NOT_RUNNING', notRunning(context), { place: layout.root })
  return accessMesh(stack.addresses, withLocalSecrets(layout.root, context.env))
}

/** Runs with a mesh and closes its connections, whatever happens. */
export async function withMesh<T>(
  context: CommandContext,
  work: (mesh: MeshAccess) => Promise<T>,
  options: MeshChoice = {},
): Promise<T> {
  const mesh = runningMesh(context, options)
  try {
    return await work(mesh)
  } finally {
    await mesh.close()
  }
}

function notRunning(context: CommandContext): string {
  const running = readRunningStack(runningLayout(context))
  return running ? 'only the mesh of --sources is running, which has other streams' : 'the mesh is not running'
}

function addressesFromEnvironment({ env }: CommandContext): StackAddresses | null {
  const kafkaBrokers = env['MESH_KAFKA_BROKERS']
  if (!kafkaBrokers) return null
  const need = (name: string): string => {
    const value = env[name]
    if (!value) throw new MeshError('MESH_CONFIG_INVALID', `MESH_KAFKA_BROKERS is set, so ${name} is needed too`)
    return value
  }
  const services = need('MESH_SERVICE_URLS')
    .split(',')
    .map((pair) => pair.trim().split(/=(.*)/s) as [string, string])
  return {
    kafkaBrokers,
    registryUrl: need('MESH_REGISTRY_URL'),
    connectUrl: env['MESH_CONNECT_URL'] ?? null,
    lakeUrl: need('MESH_LAKE_URL'),
    warehouseUrl: need('MESH_WAREHOUSE_URL'),
    goldUrl: env['MESH_GOLD_URL'] ?? need('MESH_WAREHOUSE_URL').replace(/[^/]+$/, 'gold.duckdb'),
    services: Object.fromEntries(services),
  }
}
