import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { connectUrl } from './connect.ts'
import { HOST, type PortMap } from './ports.ts'
import type { Environment } from './process.ts'
import { registryUrl } from './registry.ts'
import type { StateLayout } from './state.ts'

/** Where the parts of a running stack answer. */
export interface StackAddresses {
  /** host:port, comma separated. */
  readonly kafkaBrokers: string
  readonly registryUrl: string
  /** Where Kafka Connect answers once a stream wants it; null when this mesh has none. */
  readonly connectUrl: string | null
  readonly lakeUrl: string
  readonly warehouseUrl: string
  /** dbt's own file, beside landing. */
  readonly goldUrl: string
  /** Base URL by service name, for the services of this stack. */
  readonly services: Readonly<Record<string, string>>
}

export type WarehouseFiles = { readonly landing: string; readonly gold: string }

/** The warehouse-sink's file and dbt's. */
export const warehouseFiles = ({ warehouse }: StateLayout): WarehouseFiles => ({
  landing: join(warehouse, 'mesh.duckdb'),
  gold: join(warehouse, 'gold.duckdb'),
})

export function addressesOf(layout: StateLayout, ports: PortMap, services: readonly string[]): StackAddresses {
  return {
    kafkaBrokers: `${HOST}:${portOf(ports, 'kafka')}`,
    registryUrl: registryUrl(portOf(ports, 'registry')),
    connectUrl: ports['kafka-connect'] === undefined ? null : connectUrl(ports['kafka-connect']),
    lakeUrl: pathToFileURL(layout.lake).href,
    warehouseUrl: `duckdb://${pathToFileURL(warehouseFiles(layout).landing).pathname}`,
    goldUrl: `duckdb://${pathToFileURL(warehouseFiles(layout).gold).pathname}`,
    services: Object.fromEntries(services.map((name) => [name, `http://${HOST}:${portOf(ports, name)}`])),
  }
}

export function portOf(ports: PortMap, name: string): number {
  const port = ports[name]
  if (port === undefined) throw new RangeError(`no port is set for ${name}`)
  return port
}

/** The infrastructure addresses as every service and command reads them, whichever provider runs the infrastructure. */
export function infrastructureEnvironment(addresses: StackAddresses): Record<string, string> {
  return {
    MESH_KAFKA_BROKERS: addresses.kafkaBrokers,
    MESH_REGISTRY_URL: addresses.registryUrl,
    ...(addresses.connectUrl === null ? {} : { MESH_CONNECT_URL: addresses.connectUrl }),
    MESH_LAKE_URL: addresses.lakeUrl,
    MESH_WAREHOUSE_URL: addresses.warehouseUrl,
    MESH_GOLD_URL: addresses.goldUrl,
    MESH_SERVICE_URLS: Object.entries(addresses.services)
      .map(([name, url]) => `${name}=${url}`)
      .join(','),
  }
}

/** On one machine a person watches: rows are shown after a second rather than in few large files. */
const LOCAL_PACE: Environment = { MESH_LAKE_SINK_FLUSH_INTERVAL: '1s' }

/** What a service is started with: the caller's environment (its secrets), the addresses, its own port and scratch folder. */
export function serviceEnvironment(options: {
  readonly env: Environment
  readonly addresses: StackAddresses
  readonly port: number
  readonly scratch: string
  /** What only this service is told. */
  readonly own?: Environment
}): Environment {
  const own = Object.entries({ ...LOCAL_PACE, ...options.env }).filter(([key]) => !key.startsWith('MESH_PORT_'))
  return {
    ...Object.fromEntries(own),
    ...infrastructureEnvironment(options.addresses),
    MESH_HTTP_HOST: HOST,
    MESH_HTTP_PORT: String(options.port),
    MESH_STATE_DIR: options.scratch,
    ...options.own,
  }
}
