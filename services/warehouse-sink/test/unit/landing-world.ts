import type { CommitEvent } from '@mesh/shared/core/books'
import { commitKey } from '@mesh/shared/core/books'
import { bytesText, type KafkaRecord, type RecordBatch } from '@mesh/shared/core/record'
import type { Assignment, GroupConsumer, GroupConsumerOptions, KafkaPort, Progress } from '@mesh/shared/kafka/port'
import type { RefinedRow } from '@mesh/shared/schema/port'
import type { Warehouse } from '../../src/core/ports.ts'
import { createFlusher, type FlushLimits } from '../../src/flusher.ts'
import { createLandingRunner } from '../../src/landing-runner.ts'
import { rowAt, TABLE } from './rows.ts'
import { SILENT_TELEMETRY } from './silent-telemetry.ts'

export const TOPIC_ID = 'refined-topic-id'
const BATCH_RECORDS = 3

export class Crash extends Error {}

/** What outlives a process: the topic, the group's offsets, the announced steps. The warehouse is a file of its own. */
export type World = {
  /** Per partition the refined records, in offset order. */
  readonly log: readonly (readonly KafkaRecord[])[]
  readonly groupOffsets: Map<number, number>
  readonly events: Map<string, CommitEvent>
}

export function createWorld(log: readonly (readonly KafkaRecord[])[]): World {
  return { log, groupOffsets: new Map(), events: new Map() }
}

export type RunOptions = {
  readonly world: World
  readonly warehouse: Warehouse
  readonly limits: FlushLimits
  /** Awaited before and after every effect on the outside; a throw is the death of the process at that point. */
  readonly at?: (point: string) => Promise<void>
}

/**
 * One life of the sink over the whole log: assign, batches in turn over the partitions, ticks, stop. Everything in memory is made
 * anew, so a caught Crash followed by another run is a restart.
 */
export async function runSink({ world, warehouse, limits, at = async () => {} }: RunOptions): Promise<void> {
  let now = 0
  const flusher = createFlusher({
    warehouse: guarded(warehouse, at),
    limits,
    now: () => now,
    telemetry: SILENT_TELEMETRY,
  })
  let options: GroupConsumerOptions | null = null
  const kafka = { consumer: (given: GroupConsumerOptions) => ((options = given), NO_CONSUMER) } as Partial<KafkaPort>
  createLandingRunner({
    kafka: kafka as KafkaPort,
    warehouse: guarded(warehouse, at),
    flusher,
    table: TABLE,
    hashes: { codeHash: 'code', contractHash: 'contract' },
    readRow: async (record) => readTestRow(record),
    publish: async (event) => {
      await at('before publish')
      world.events.set(commitKey(event), event)
      await at('after publish')
    },
    telemetry: SILENT_TELEMETRY,
    tickMs: 1,
    onFatal: () => {},
  })
  const partitions: { readonly assignment: Assignment; position: number }[] = []
  for (const partition of world.log.keys()) {
    const end = world.log[partition]!.at(-1)!.offset + 1
    const committed = world.groupOffsets.get(partition)
    const assignment = await options!.assign({
      topic: 'refined.flights.v1',
      topicId: TOPIC_ID,
      partition,
      committed: committed === undefined ? null : { offset: committed, metadata: '' },
      logStartOffset: 0,
      highWatermark: end,
    })
    partitions.push({ assignment, position: assignment.position })
  }

  const commit = async (partition: number, progress: Progress | null): Promise<void> => {
    if (progress === null) return
    await at('before group commit')
    world.groupOffsets.set(partition, progress.nextOffset)
    await at('after group commit')
  }
  let moved = true
  while (moved) {
    moved = false
    for (const [partition, owned] of partitions.entries()) {
      const batch = batchAt(world.log[partition]!, partition, owned.position)
      if (batch === null) continue
      moved = true
      owned.position = batch.nextOffset
      await commit(partition, await owned.assignment.handler.process(batch))
      now += 40
      await commit(partition, await owned.assignment.handler.tick!())
    }
  }
  for (const [partition, { assignment }] of partitions.entries()) {
    await commit(partition, await assignment.handler.tick!())
    await commit(partition, await assignment.handler.close!('stopping'))
  }
}

function guarded(warehouse: Warehouse, at: (point: string) => Promise<void>): Warehouse {
  const around =
    <A extends unknown[], R>(name: string, call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      await at(`before ${name}`)
      const result = await call(...args)
      await at(`after ${name}`)
      return result
    }
  return {
    prepare: around('prepare', warehouse.prepare),
    ledger: around('ledger', warehouse.ledger),
    write: around('write', warehouse.write),
    project: around('project', warehouse.project),
  }
}

function batchAt(log: readonly KafkaRecord[], partition: number, position: number): RecordBatch | null {
  const records = log.filter((record) => record.offset >= position).slice(0, BATCH_RECORDS)
  if (records.length === 0) return null
  const nextOffset = records.at(-1)!.offset + 1
  return { topic: 'refined.flights.v1', topicId: TOPIC_ID, partition, firstOffset: position, nextOffset, records }
}

/** The value is `<partition>/<raw offset>`: the row of that raw record. */
export function readTestRow(record: KafkaRecord): RefinedRow {
  const [partition, offset] = bytesText(record.value!).split('/').map(Number)
  return rowAt(offset!, {}, partition!)
}

const NO_CONSUMER: GroupConsumer = {
  start: async () => {},
  stop: async () => {},
  resume: () => {},
  pause: () => {},
  seek: () => {},
  describe: async () => null,
  positions: () => new Map(),
}
