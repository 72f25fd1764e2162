import { COMMON_CONFIG, LAKE_CONFIG, REGISTRY_CONFIG, STATE_CONFIG } from '@mesh/shared/runtime/config'

export const ENV_PREFIX = 'MESH_ENRICHER_'

const OWN_CONFIG = {
  commitIntervalMs: {
    env: 'MESH_ENRICHER_COMMIT_INTERVAL',
    kind: 'duration',
    default: 500,
    min: 0,
    max: 60_000,
    doc: 'Longest time between commits of a busy partition; a restart reads at most this much again.',
  },
  maxChunkBytes: {
    env: 'MESH_ENRICHER_MAX_CHUNK_BYTES',
    kind: 'integer',
    default: 700_000,
    min: 1024,
    max: 4_000_000,
    doc: 'Bytes of outputs per produce request. The outputs of one event are never split.',
  },
  maxOutputBytes: {
    env: 'MESH_ENRICHER_MAX_OUTPUT_BYTES',
    kind: 'integer',
    default: 4_000_000,
    min: 1024,
    max: 16_000_000,
    doc: 'Most bytes that the outputs of one event may take; keep it below max.message.bytes. Above it: dead letter.',
  },
  erasureNoticeMs: {
    env: 'MESH_ENRICHER_ERASURE_NOTICE',
    kind: 'duration',
    default: 30_000,
    min: 1000,
    max: 3_600_000,
    doc: 'Longest time that the erasure of a subject may go unnoticed. One request per stream each time.',
  },
  maxSubjects: {
    env: 'MESH_ENRICHER_MAX_SUBJECTS',
    kind: 'integer',
    default: 100_000,
    min: 100,
    max: 10_000_000,
    doc: 'Data keys of subjects held in memory per stream with privacy rules, about 200 bytes each.',
  },
  dedupeSegmentIds: {
    env: 'MESH_ENRICHER_DEDUPE_SEGMENT_IDS',
    kind: 'integer',
    default: 200_000,
    min: 16,
    max: 500_000,
    doc: 'Event ids of a partition held in memory before they go to disk; a restart reads so many records again.',
  },
  dedupeMemoryBytes: {
    env: 'MESH_ENRICHER_DEDUPE_MEMORY',
    kind: 'integer',
    default: 268_435_456,
    min: 1_048_576,
    doc: 'Bytes of memory for the event ids of all dedupe windows; what has no room is looked up on disk.',
  },
  tableMemoryBytes: {
    env: 'MESH_ENRICHER_TABLE_MEMORY',
    kind: 'integer',
    default: 134_217_728,
    min: 1_048_576,
    doc: 'Bytes of memory for decoded rows of all joined tables; each table adds 8 MB of its file.',
  },
} as const

export const CONFIG: typeof COMMON_CONFIG &
  typeof REGISTRY_CONFIG &
  typeof LAKE_CONFIG &
  typeof STATE_CONFIG &
  typeof OWN_CONFIG = { ...COMMON_CONFIG, ...REGISTRY_CONFIG, ...LAKE_CONFIG, ...STATE_CONFIG, ...OWN_CONFIG }
