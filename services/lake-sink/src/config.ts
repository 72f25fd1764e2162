import { COMMON_CONFIG, LAKE_CONFIG, REGISTRY_CONFIG } from '@mesh/shared/runtime/config'

export const ENV_PREFIX = 'MESH_LAKE_SINK_'

const OWN_CONFIG = {
  flushRows: {
    env: 'MESH_LAKE_SINK_FLUSH_ROWS',
    kind: 'integer',
    default: 50_000,
    min: 1,
    max: 1_000_000,
    doc: 'Records of one partition that make an object.',
  },
  flushBytes: {
    env: 'MESH_LAKE_SINK_FLUSH_BYTES',
    kind: 'integer',
    default: 33_554_432,
    min: 1024,
    max: 1_073_741_824,
    doc: 'Bytes of records of one partition that make an object (before compression).',
  },
  flushInterval: {
    env: 'MESH_LAKE_SINK_FLUSH_INTERVAL',
    kind: 'duration',
    default: 10_000,
    min: 10,
    doc: 'Oldest that a record gets before it is written. Longer makes fewer, larger objects.',
  },
  memoryBytes: {
    env: 'MESH_LAKE_SINK_MEMORY_BYTES',
    kind: 'integer',
    default: 268_435_456,
    min: 1_048_576,
    doc: 'Bytes of records held at any time, all partitions together; at the limit, objects are cut early.',
  },
} as const

type Settings = typeof COMMON_CONFIG & typeof REGISTRY_CONFIG & typeof LAKE_CONFIG & typeof OWN_CONFIG
export const CONFIG: Settings = { ...COMMON_CONFIG, ...REGISTRY_CONFIG, ...LAKE_CONFIG, ...OWN_CONFIG }
