import type { Contract } from '../core/contract.ts'
import {
  COMMITS_TOPIC,
  CURSORS_TOPIC,
  deadLetterTopic,
  LINEAGE_TOPIC,
  REPLAYS_TOPIC,
  RUNS_TOPIC,
  rawTopic,
  refinedTopic,
  replayTopic,
  SOURCES_TOPIC,
  stateTopic,
  VERSIONS_TOPIC,
} from '../core/topics.ts'
import type { TopicSpec } from './port.ts'

const MAX_MESSAGE_BYTES = '4194304'
/** A dead letter is the largest raw record with the reason in its headers. */
const MAX_DEAD_LETTER_BYTES = '4325376'
const KEEP = '-1'
/** A reader that is a day behind still sees every record of a compacted topic, and `verify` can count them. */
const MIN_COMPACTION_LAG_MS = '86400000'
/** Seven days: whoever wants lineage for longer reads it into a receiver. */
const LINEAGE_RETENTION_MS = '604800000'
const COMMON: Readonly<Record<string, string>> = {
  'max.message.bytes': MAX_MESSAGE_BYTES,
  'message.timestamp.type': 'CreateTime',
}

/** The mesh's own topics: one partition each, so that their order is total. */
export function meshTopics(): TopicSpec[] {
  const compact = { ...COMMON, 'cleanup.policy': 'compact' }
  return [
    { name: COMMITS_TOPIC, partitions: 1, config: { ...COMMON, 'cleanup.policy': 'delete', 'retention.ms': KEEP } },
    { name: VERSIONS_TOPIC, partitions: 1, config: compact },
    { name: REPLAYS_TOPIC, partitions: 1, config: compact },
    { name: CURSORS_TOPIC, partitions: 1, config: compact },
    { name: RUNS_TOPIC, partitions: 1, config: compact },
    {
      name: LINEAGE_TOPIC,
      partitions: 1,
      config: { ...COMMON, 'cleanup.policy': 'delete', 'retention.ms': LINEAGE_RETENTION_MS },
    },
  ]
}

/** Made by the gateway when a stream asks for a source. */
export function sourcesTopicSpec(): TopicSpec {
  return { name: SOURCES_TOPIC, partitions: 1, config: { ...COMMON, 'cleanup.policy': 'compact' } }
}

export function rawTopicSpec(contract: Contract): TopicSpec {
  const { partitions, retentionMs } = contract.raw
  return {
    name: rawTopic(contract.name),
    partitions,
    config: { ...COMMON, 'cleanup.policy': 'delete', 'retention.ms': String(retentionMs) },
  }
}

export function deadLetterTopicSpec(contract: Contract): TopicSpec {
  const { partitions, retentionMs } = contract.raw
  return {
    name: deadLetterTopic(contract.name),
    partitions,
    config: {
      ...COMMON,
      'max.message.bytes': MAX_DEAD_LETTER_BYTES,
      'cleanup.policy': 'delete',
      'retention.ms': String(retentionMs),
    },
  }
}

/** A candidate's topic keeps everything until cutover. */
export function refinedTopicSpec(contract: Contract, version: number, candidate: boolean): TopicSpec {
  const { cleanup, retentionMs } = contract.refine
  const config =
    cleanup === 'compact'
      ? { ...COMMON, 'cleanup.policy': 'compact', 'min.compaction.lag.ms': MIN_COMPACTION_LAG_MS }
      : { ...COMMON, 'cleanup.policy': 'delete', 'retention.ms': candidate ? KEEP : String(retentionMs) }
  return { name: refinedTopic(contract.name, version), partitions: contract.raw.partitions, config }
}

/**
 * Parked records. The state record is their only copy once retention has passed raw, so nothing leaves by age: what is released is
 * a tombstone, and compaction takes it. Small segments, because the active one is never compacted and a restart reads it.
 */
export function stateTopicSpec(contract: Contract, version: number): TopicSpec {
  const config = {
    ...COMMON,
    'max.message.bytes': MAX_DEAD_LETTER_BYTES,
    'cleanup.policy': 'compact,delete',
    'retention.ms': KEEP,
    'segment.bytes': '67108864',
    'segment.ms': '3600000',
    'min.cleanable.dirty.ratio': '0.2',
  }
  return { name: stateTopic(contract.name, version), partitions: contract.raw.partitions, config }
}

export function replayTopicSpec(contract: Contract, job: string): TopicSpec {
  const config = { ...COMMON, 'cleanup.policy': 'delete', 'retention.ms': KEEP }
  return { name: replayTopic(contract.name, job), partitions: contract.raw.partitions, config }
}
