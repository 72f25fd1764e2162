import { MeshError } from '@mesh/shared/core/errors'
import { bytesText, textBytes } from '@mesh/shared/core/record'
import type { Run, RunsRecord, StreamPositions } from '@mesh/shared/core/runs'
import { RUNS_TOPIC } from '@mesh/shared/core/topics'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import type { RunStore } from '../core/ports.ts'

const runKey = (id: string): string => `run/${id}`
const positionsKey = (stream: string): string => `positions/${stream}`

/**
 * `mesh.runs` with its end in view: every write must land right behind the one before. A write that lands elsewhere was preceded by
 * another writer's (a member of the group that does not know yet that it was replaced), so this one's memory is out of date.
 */
export function createRunStore(kafka: Pick<KafkaPort, 'readRanges' | 'admin'>, producer: Producer): RunStore {
  let end = -1
  let tail: Promise<unknown> = Promise.resolve()

  function put(key: string, value: RunsRecord | null): Promise<void> {
    const written = tail.then(async () => {
      const bytes = value === null ? null : textBytes(JSON.stringify(value))
      const [offset] = await producer.send(RUNS_TOPIC, [
        { partition: 0, key: textBytes(key), value: bytes, headers: [] },
      ])
      if (offset !== end) {
        throw new MeshError('MESH_JOB_SECOND_WRITER', `offset ${offset} was written where ${end} was next`, {
          place: RUNS_TOPIC,
        })
      }
      end = offset + 1
    })
    tail = written.catch(() => {})
    return written
  }

  return {
    async load() {
      const runs = new Map<string, Run>()
      const positions = new Map<string, StreamPositions>()
      const [partition] = await kafka.admin.offsets(RUNS_TOPIC)
      if (!partition) throw new Error(`topic ${RUNS_TOPIC} has no partition`)
      const range = { partition: 0, from: partition.logStartOffset, to: partition.highWatermark }
      if (range.from < range.to) {
        await kafka.readRanges(RUNS_TOPIC, [range], ({ records }) => {
          for (const { key, value } of records) if (key !== null) apply(bytesText(key), value, { runs, positions })
        })
      }
      end = range.to
      return { runs: [...runs.values()], positions: [...positions.values()] }
    },
    putRun: (run) => put(runKey(run.id), run),
    putPositions: (positions) => put(positionsKey(positions.stream), positions),
    dropRun: (id) => put(runKey(id), null),
  }
}

type Tables = { readonly runs: Map<string, Run>; readonly positions: Map<string, StreamPositions> }

function apply(key: string, value: Uint8Array | null, { runs, positions }: Tables): void {
  if (value === null) {
    runs.delete(key.slice(runKey('').length))
    return
  }
  const record = JSON.parse(bytesText(value)) as RunsRecord
  if (record.kind === 'run') runs.set(record.id, record)
  else positions.set(record.stream, record)
}
