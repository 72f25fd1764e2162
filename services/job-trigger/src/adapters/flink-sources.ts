import { parseDuration } from '@mesh/shared/core/duration'
import { MeshError } from '@mesh/shared/core/errors'
import type { InputPosition } from '@mesh/shared/core/runs'
import { refinedTopic } from '@mesh/shared/core/topics'
import type { KafkaAdmin } from '@mesh/shared/kafka/port'
import { parseRecordAvsc } from '@mesh/shared/schema/avro-schema'
import { flinkColumns, watermarkProblem } from '@mesh/shared/schema/flink-columns'
import { streamStatements } from '../core/flink-stream-tables.ts'
import { type FlinkInput, inputStatements, type TopicRange } from '../core/flink-tables.ts'
import type { Execution } from '../core/ports.ts'
import { engineCall } from './engine-call.ts'
import { optionsOf } from './flink-session.ts'

/** The tables that a script finds: one pair of views per input stream. */
export type FlinkSources = {
  /**
   * `problem`: the run's input cannot be read any more, or not by Flink.
   * @throws MeshError MESH_JOB_ENGINE_AWAY when the registry or Kafka cannot be asked
   */
  tablesOf(execution: Execution): Promise<{ readonly statements: readonly string[]; readonly problem: string | null }>
}

export type FlinkSourcesOptions = {
  readonly admin: Pick<KafkaAdmin, 'topicIds' | 'offsets' | 'committed'>
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
        const statementsOf = execution.run.streaming ? streamOf(execution, input) : inputStatements(input)
        if (typeof statementsOf === 'string') return { statements: [], problem: statementsOf }
        statements.push(...statementsOf)
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
    const { streaming } = execution.run
    const group = flinkGroup(execution.job.name)
    const read = streaming?.recoverFrom == null ? null : await kafka(() => admin.committed(group, topic))
    const ranges: TopicRange[] = []
    for (const { partition, logStartOffset } of await kafka(() => admin.offsets(topic))) {
      const to = positionOf(positions, partition)
      const range = own.find((each) => each.partition === partition)
      if (streaming) {
        const start = startOf(range?.from ?? to, read?.get(partition)?.offset ?? null, logStartOffset)
        if (typeof start === 'string')
          return `${topic} partition ${partition} begins at ${logStartOffset} by now; ${start}`
        ranges.push({ partition, start, from: start, to: start })
        continue
      }
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

/** Under which Flink commits the offsets of a job that streams, at each of its checkpoints. */
export const flinkGroup = (job: string): string => `mesh.flink.${job}`

/**
 * Where a partition is read from on. A job that begins takes all there is, where it is to begin at 0; one that goes on has its position
 * in its savepoint, and Flink would begin at the earliest record in silence where retention has gone past it.
 * @param read next offset of the job's group; null: it is not resumed, or has read nothing of the partition
 */
function startOf(from: number, read: number | null, logStartOffset: number): number | string {
  if (read !== null) return read < logStartOffset ? `the job has read up to ${read}` : from
  if (from === 0) return logStartOffset
  return from < logStartOffset ? `the run begins at ${from}` : from
}

/** What is wrong with the job's watermark, or the statements. */
function streamOf({ job, input: { streams } }: Execution, input: FlinkInput): readonly string[] | string {
  const wanted = optionsOf({ job }).watermarks?.[input.stream]
  const problem = wanted ? watermarkProblem(input.columns, wanted.column) : null
  if (problem !== null) return `${refinedTopic(input.stream, streams[input.stream]!.version)}: ${problem}`
  const watermark = wanted ? { column: wanted.column, delayMs: parseDuration(wanted.delay)! } : null
  return streamStatements({ input, group: flinkGroup(job.name), watermark })
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
