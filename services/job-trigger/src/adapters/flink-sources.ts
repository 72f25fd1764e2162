import { MeshError } from '@mesh/shared/core/errors'
import type { InputPosition } from '@mesh/shared/core/runs'
import { refinedTopic } from '@mesh/shared/core/topics'
import type { KafkaAdmin } from '@mesh/shared/kafka/port'
import { parseRecordAvsc } from '@mesh/shared/schema/avro-schema'
import { flinkColumns } from '@mesh/shared/schema/flink-columns'
import { type FlinkInput, inputStatements, type TopicRange } from '../core/flink-tables.ts'
import type { Execution } from '../core/ports.ts'
import { engineCall } from './engine-call.ts'

/** The tables that a script finds: one pair of views per input stream. */
export type FlinkSources = {
  /**
   * `problem`: the run's input cannot be read any more, or not by Flink.
   * @throws MeshError MESH_JOB_ENGINE_AWAY when the registry or Kafka cannot be asked
   */
  tablesOf(execution: Execution): Promise<{ readonly statements: readonly string[]; readonly problem: string | null }>
}

export type FlinkSourcesOptions = {
  readonly admin: Pick<KafkaAdmin, 'topicIds' | 'offsets'>
  readonly brokers: string
  readonly registryUrl: string | null
}

export function createFlinkSources(options: FlinkSourcesOptions): FlinkSources {
  const { admin, brokers } = options

  return {
    async tablesOf(execution) {
      const statements: string[] = []
      for (const stream of Object.keys(execution.input.streams)) {
        const input = await inputOf(execution, stream)
        if (typeof input === 'string') return { statements: [], problem: input }
        statements.push(...inputStatements(input))
      }
      return { statements, problem: null }
    },
  }

  /** What is wrong, as a sentence, or the input. */
  async function inputOf(execution: Execution, stream: string): Promise<FlinkInput | string> {
    const { vector, asOf, streams } = execution.input
    const topic = refinedTopic(stream, streams[stream]!.version)
    const { columns, problems } = flinkColumns(parseRecordAvsc(await schemaOf(topic)))
    if (problems.length > 0) {
      return problems.map(({ field, reason }) => `the field ${field} of ${topic} ${reason}`).join('; ')
    }
    const positions = asOf.filter((position) => position.stream === stream)
    const own = vector.filter((range) => range.stream === stream)
    const topicId = (await kafka(() => admin.topicIds([topic]))).get(topic)
    const other = [...positions, ...own].find((each) => each.topicId !== topicId)
    if (other) return `${topic} was created anew: the run is over the topic with the id ${other.topicId}`
    const ranges: TopicRange[] = []
    for (const { partition, logStartOffset } of await kafka(() => admin.offsets(topic))) {
      const to = positionOf(positions, partition)
      const range = own.find((each) => each.partition === partition)
      const from = range ? range.from : to
      if (range && from < logStartOffset && range.to > from) {
        return `${topic} partition ${partition} begins at ${logStartOffset} by now; the run begins at ${from}`
      }
      ranges.push({ partition, start: Math.min(logStartOffset, to), from, to: range?.to ?? to })
    }
    const after = Object.assign({}, ...own.map((range) => range.after)) as FlinkInput['after']
    return { stream, topic, columns, ranges, after, brokers, registry: registryUrl() }
  }

  async function schemaOf(topic: string): Promise<string> {
    const url = `${registryUrl()}/subjects/${encodeURIComponent(`${topic}-value`)}/versions/latest`
    const reply = await engineCall(url, { method: 'GET', headers: { accept: 'application/json' }, timeoutMs: 30_000 })
    if (reply.ok) return (JSON.parse(reply.text) as { schema: string }).schema
    throw new MeshError('MESH_JOB_ENGINE_AWAY', `the schema registry answers ${reply.status} for ${topic}`)
  }

  function registryUrl(): string {
    if (options.registryUrl === null) throw new MeshError('MESH_JOB_ENGINE_AWAY', 'MESH_REGISTRY_URL is not set')
    return options.registryUrl.replace(/\/$/, '')
  }
}

const positionOf = (positions: readonly InputPosition[], partition: number): number =>
  Math.max(0, ...positions.filter((position) => position.partition === partition).map(({ offset }) => offset))

async function kafka<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    throw new MeshError('MESH_JOB_ENGINE_AWAY', 'Kafka cannot be asked for the offsets of an input', { cause: error })
  }
}
