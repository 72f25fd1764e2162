import { MeshError } from '@mesh/shared/core/errors'
import { COMMON_CONFIG, type ConfigOf, LAKE_CONFIG, REGISTRY_CONFIG } from '@mesh/shared/runtime/config'

export const ENV_PREFIX = 'MESH_WAREHOUSE_SINK_'

const OWN_CONFIG = {
  warehouseUrl: {
    env: 'MESH_WAREHOUSE_URL',
    kind: 'string',
    doc: 'Warehouse: duckdb:///absolute/file.duckdb.',
  },
  flushRows: {
    env: 'MESH_WAREHOUSE_SINK_FLUSH_ROWS',
    kind: 'integer',
    default: 50_000,
    min: 1,
    max: 1_000_000,
    doc: 'Rows held, all partitions together, that set off a flush.',
  },
  flushBytes: {
    env: 'MESH_WAREHOUSE_SINK_FLUSH_BYTES',
    kind: 'integer',
    default: 16_777_216,
    min: 1024,
    max: 1_073_741_824,
    doc: 'Record bytes held that set off a flush. At most twice as many are held at any time.',
  },
  flushInterval: {
    env: 'MESH_WAREHOUSE_SINK_FLUSH_INTERVAL',
    kind: 'duration',
    default: 1000,
    min: 10,
    doc: 'Oldest that a row gets before it is written.',
  },
  lockWait: {
    env: 'MESH_WAREHOUSE_SINK_LOCK_WAIT',
    kind: 'duration',
    default: 10_000,
    min: 0,
    doc: 'How long one opening waits while another process holds the file; then the sink is unready and waits on.',
  },
  duckdbMemory: {
    env: 'MESH_WAREHOUSE_SINK_DUCKDB_MEMORY',
    kind: 'string',
    default: '512MB',
    doc: "DuckDB's memory_limit during a flush.",
  },
  duckdbThreads: {
    env: 'MESH_WAREHOUSE_SINK_DUCKDB_THREADS',
    kind: 'integer',
    default: 2,
    min: 1,
    max: 64,
    doc: "DuckDB's threads during a flush.",
  },
} as const

type Settings = typeof COMMON_CONFIG & typeof REGISTRY_CONFIG & typeof LAKE_CONFIG & typeof OWN_CONFIG
export const CONFIG: Settings = { ...COMMON_CONFIG, ...REGISTRY_CONFIG, ...LAKE_CONFIG, ...OWN_CONFIG }

export type Config = ConfigOf<Settings>

/** Absolute path of the DuckDB file. @throws MeshError MESH_CONFIG_INVALID */
export function warehousePath(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed?.protocol !== 'duckdb:' || parsed.host !== '' || parsed.pathname.length < 2) {
    throw new MeshError('MESH_CONFIG_INVALID', 'MESH_WAREHOUSE_URL is not duckdb:///absolute/file.duckdb')
  }
  return decodeURIComponent(parsed.pathname)
}
