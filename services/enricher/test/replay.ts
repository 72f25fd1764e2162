import { header } from '@mesh/shared/core/record'
import { rawTopic, refinedTopic, replayTopic, stateTopic } from '@mesh/shared/core/topics'
import { newestBundle, type ReplayedHistory, type StreamVersions } from '@mesh/shared/core/versions'
import type { Log, World } from './world.ts'

const JOB = 'job-1'

/** What the replayer writes for a history: source records under their source's coordinate, some of them twice. */
export async function emitReplay(world: World, stream: string, history: Log, state: StreamVersions): Promise<number[]> {
  const topic = replayTopic(stream, JOB)
  const producer = await world.kafka.producer()
  for (const { partition, offset, record } of history) {
    const headers = [
      ...record.headers,
      header('mesh-src', `main;${state.rawTopicId};${partition};${offset};0`),
      header('mesh-replay', JOB),
    ]
    await producer.send(topic, [{ ...record, partition, headers }])
  }
  return (await world.kafka.admin.offsets(topic)).map((o) => o.highWatermark)
}

/** A history as a replayer leaves it that died at some records and began a little earlier again. */
export function withRestarts(history: Log, every: number, back: number): Log {
  const emitted: Log[number][] = []
  history.forEach((entry, i) => {
    emitted.push(entry)
    if ((i + 1) % every === 0) emitted.push(...history.slice(Math.max(0, i + 1 - back), i + 1))
  })
  return emitted
}

/** Version 2 as a candidate that replays [0, changeover) and then reads raw. */
export async function candidateOf(
  world: World,
  state: StreamVersions,
  replay: Pick<ReplayedHistory, 'ends' | 'changeover'>,
): Promise<StreamVersions> {
  const { stream, partitions } = state
  const topic = replayTopic(stream, JOB)
  await world.kafka.admin.ensureTopics(
    [topic, refinedTopic(stream, 2), stateTopic(stream, 2)].map((name) => ({ name, partitions, config: {} })),
  )
  const topicId = (await world.kafka.admin.topicIds([topic])).get(topic)!
  const [live] = state.versions
  const candidate = {
    version: 2,
    status: 'candidate' as const,
    bundles: [newestBundle(live!)],
    start: live!.start,
    replay: { job: JOB, topic, topicId, ...replay },
  }
  return { ...state, versions: [live!, candidate] }
}

export const rawEnd = async (world: World, stream: string): Promise<number> =>
  (await world.kafka.admin.offsets(rawTopic(stream)))[0]!.highWatermark
