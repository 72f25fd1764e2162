import { describeError } from '@mesh/shared/core/errors'
import type { KafkaAdmin } from '@mesh/shared/kafka/port'
import { type BrokerQuestions, type BrokerState, groupKey, type TopicOffsets } from '../core/broker-questions.ts'

/** Requests under way at once: a page must not be a load on the broker. */
const CONCURRENCY = 8

/** Answers what can be answered; what fails is a problem by name. */
export async function readBroker(admin: KafkaAdmin, questions: BrokerQuestions): Promise<BrokerState> {
  const offsets = new Map<string, readonly TopicOffsets[]>()
  const committed = new Map<string, ReadonlyMap<number, number>>()
  const problems: string[] = []
  const existing = await admin.topicIds(questions.topics).catch((error: unknown) => {
    problems.push(`Kafka cannot be read: ${describeError(error)}`)
    return new Map<string, string>()
  })
  const work: (() => Promise<void>)[] = [
    ...questions.topics
      .filter((topic) => existing.has(topic))
      .map((topic) => async () => void offsets.set(topic, await admin.offsets(topic))),
    ...questions.groups
      .filter(({ topic }) => existing.has(topic))
      .map((question) => async () => {
        const found = await admin.committed(question.group, question.topic)
        committed.set(groupKey(question), new Map([...found].map(([partition, { offset }]) => [partition, offset])))
      }),
  ]
  const queue = work.values()
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      for (const ask of queue) await ask().catch((error: unknown) => void problems.push(describeError(error)))
    }),
  )
  return { offsets, committed, problems: [...new Set(problems)] }
}
