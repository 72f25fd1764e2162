import { COMMON_CONFIG, type ConfigOf, LAKE_CONFIG, REGISTRY_CONFIG } from '@mesh/shared/runtime/config'

export const ENV_PREFIX = 'MESH_REPLAYER_'

const OWN_CONFIG = {
  lakeReads: {
    env: 'MESH_REPLAYER_LAKE_READS',
    kind: 'integer',
    default: 4,
    min: 1,
    max: 64,
    doc: 'Partitions that one replay reads from the lake at a time; each holds one bronze object in memory.',
  },
  readinessInterval: {
    env: 'MESH_REPLAYER_READINESS_INTERVAL',
    kind: 'duration',
    default: 2000,
    min: 10,
    doc: 'Pause between two looks at how far a candidate has come.',
  },
  readyAge: {
    env: 'MESH_REPLAYER_READY_AGE',
    kind: 'duration',
    default: 300_000,
    min: 1000,
    doc: 'Cutover asks that the candidate and its sinks had caught up with the live version no longer ago than this.',
  },
  cutoverWait: {
    env: 'MESH_REPLAYER_CUTOVER_WAIT',
    kind: 'duration',
    default: 10_000,
    min: 0,
    doc: 'How long a cutover waits for the candidate to reach where the live version was when it was asked for.',
  },
  topicLinger: {
    env: 'MESH_REPLAYER_TOPIC_LINGER',
    kind: 'duration',
    default: 60_000,
    min: 0,
    doc: 'How long after cutover or cancel the topics that are no longer needed stay, so that their readers can leave.',
  },
} as const

type Settings = typeof COMMON_CONFIG & typeof REGISTRY_CONFIG & typeof LAKE_CONFIG & typeof OWN_CONFIG
export const CONFIG: Settings = { ...COMMON_CONFIG, ...REGISTRY_CONFIG, ...LAKE_CONFIG, ...OWN_CONFIG }

export type ReplayerConfig = ConfigOf<Settings>
