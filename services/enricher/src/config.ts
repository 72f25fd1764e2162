import { COMMON_CONFIG, LAKE_CONFIG, REGISTRY_CONFIG, STATE_CONFIG } from '@mesh/shared/runtime/config'
import { createSecretReader, findSecret, type ReadSecret } from '@mesh/shared/runtime/secrets'

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
    doc: 'Bytes of memory for decoded rows of all joined tables; each table adds 8 MB of its file, one held by partition 2 MB for each.',
  },
  transactionIntervalMs: {
    env: 'MESH_ENRICHER_TRANSACTION_INTERVAL',
    kind: 'duration',
    default: 100,
    min: 0,
    max: 60_000,
    doc: 'Longest time that outputs of an exactly-once stream wait for their transaction: readers see nothing before it ends.',
  },
  maxTransactionBytes: {
    env: 'MESH_ENRICHER_MAX_TRANSACTION_BYTES',
    kind: 'integer',
    default: 8_000_000,
    min: 1024,
    max: 64_000_000,
    doc: 'Bytes of one transaction, held in memory until it ends.',
  },
  maxParkedRecords: {
    env: 'MESH_ENRICHER_MAX_PARKED',
    kind: 'integer',
    default: 100_000,
    min: 1,
    max: 10_000_000,
    doc: 'Most parked records of one partition. At it the partition waits.',
  },
  maxParkedBytes: {
    env: 'MESH_ENRICHER_MAX_PARKED_BYTES',
    kind: 'integer',
    default: 134_217_728,
    min: 65_536,
    doc: 'Most bytes of memory for the index of the parked records of one partition: 160 a record, 600 a key, and the texts of keys. At it the partition waits.',
  },
  parkedCacheBytes: {
    env: 'MESH_ENRICHER_PARKED_CACHE_BYTES',
    kind: 'integer',
    default: 33_554_432,
    min: 0,
    max: 1_073_741_824,
    doc: 'Bytes of parked records kept in memory over all partitions; the others are read from mesh.state again.',
  },
} as const

export const CONFIG: typeof COMMON_CONFIG &
  typeof REGISTRY_CONFIG &
  typeof LAKE_CONFIG &
  typeof STATE_CONFIG &
  typeof OWN_CONFIG = { ...COMMON_CONFIG, ...REGISTRY_CONFIG, ...LAKE_CONFIG, ...STATE_CONFIG, ...OWN_CONFIG }

/** The text of `env:NAME` or `file:/path`, without a line feed at its end; null where there is nothing. */
export function readSecret(reference: string): Promise<string | null> {
  return findSecret(process.env, reference)
}

/** The same where there has to be one. @throws MeshError MESH_SECRET_MISSING */
export const requireSecret: ReadSecret = createSecretReader(process.env)
