import { MeshError } from '@mesh/shared/core/errors'
import type { CommandContext } from './command.ts'
import { accessMesh, type MeshAccess } from './mesh-access.ts'
import type { StackAddresses } from './stack/environment.ts'
import { readRunningStack } from './stack/running.ts'
import { withLocalSecrets } from './stack/secrets.ts'
import { stateLayout } from './stack/state.ts'

/**
 * The mesh that a command talks to: the one the environment names (MESH_KAFKA_BROKERS and its siblings), else the local stack.
 * @throws MeshError MESH_STACK_NOT_RUNNING
 */
export function runningMesh(context: CommandContext): MeshAccess {
  const named = addressesFromEnvironment(context)
  if (named) return accessMesh(named, context.env)
  const stack = readRunningStack(stateLayout(context.stateDir()))
  if (!stack) throw new MeshError('MESH_STACK_NOT_RUNNING', 'the mesh is not running', { place: context.stateDir() })
  return accessMesh(stack.addresses, withLocalSecrets(context.stateDir(), context.env))
}

/** Runs with a mesh and closes its connections, whatever happens. */
export async function withMesh<T>(context: CommandContext, work: (mesh: MeshAccess) => Promise<T>): Promise<T> {
  const mesh = runningMesh(context)
  try {
    return await work(mesh)
  } finally {
    await mesh.close()
  }
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
