import type { Contract } from '@mesh/shared/core/contract'
import {
  deadLetterTopicSpec,
  rawTopicSpec,
  refinedTopicSpec,
  replayTopicSpec,
  stateTopicSpec,
} from '@mesh/shared/kafka/mesh-topics'
import type { TopicSpec } from '@mesh/shared/kafka/port'

/** Room for the headers that a replayed record has on top of its source, which may be as large as raw allows. */
const REPLAY_RECORD_BYTES = 4 * 1024 * 1024 + 64 * 1024

/** The topics of a stream with its live version; all have the same partition count. */
export function streamTopics(contract: Contract, live: number): TopicSpec[] {
  return [
    rawTopicSpec(contract),
    refinedTopicSpec(contract, live, false),
    deadLetterTopicSpec(contract),
    stateTopicSpec(contract, live),
  ]
}

/** A candidate's refined topic once its version is live: what the contract says it keeps. */
export function liveRefinedTopic(contract: Contract, version: number): TopicSpec {
  return refinedTopicSpec(contract, version, false)
}

/** The topics of a candidate. They keep everything: their records are as old as the history they come from. */
export function candidateTopics(contract: Contract, version: number, job: string): TopicSpec[] {
  const replay = replayTopicSpec(contract, job)
  return [
    { ...replay, config: { ...replay.config, 'max.message.bytes': String(REPLAY_RECORD_BYTES) } },
    refinedTopicSpec(contract, version, true),
    stateTopicSpec(contract, version),
  ]
}
