import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach } from 'vitest'
import { bytesText, type RecordBatch, type RecordToSend, textBytes } from '../core/record.ts'
import type { KafkaPort, TransactionalOptions, TransactionalProducer, TransactionStep } from '../kafka/port.ts'

/** A process of its own in front of the same broker. */
export type KafkaProcess = {
  readonly kafka: KafkaPort
  /** Ends it without a word to the broker; nothing that it has under way needs to settle. */
  kill(): void
  /** Its next request of this kind is lost on the way there, or done and its answer lost. */
  lose(kind: 'produce' | 'end-transaction', when: 'before' | 'after'): void
  /** Its next request of this kind stands still on the way there, until the returned function loses it. */
  hold(kind: 'produce' | 'end-transaction'): () => void
  close(): Promise<void>
}

/** Starts processes in front of one broker, each call a new one. */
export type KafkaProcesses = () => Promise<() => Promise<KafkaProcess>>

/** What a test of transactions begins with: topics, a group and processes of its own. */
export type TransactionWorld = {
  /** A process that nothing happens to. */
  readonly kafka: KafkaPort
  readonly input: string
  readonly output: string
  readonly group: string
  readonly launch: () => Promise<KafkaProcess>
  /** A producer under the id of the group's partition 0. */
  readonly owner: (port: KafkaPort, more?: Partial<TransactionalOptions>) => Promise<TransactionalProducer>
  /** Texts for partition 0 of the output and the position after them. */
  readonly step: (nextOffset: number, ...texts: string[]) => TransactionStep
  /** All batches of the output's partition up to its last stable offset. */
  readonly readAll: (partition?: number) => Promise<RecordBatch[]>
}

/** Registers the set-up with the suite around it; the world is there once a test runs. */
export function useTransactionWorld(open: KafkaProcesses): () => TransactionWorld {
  const processes: KafkaProcess[] = []
  let world: TransactionWorld

  beforeEach(async () => {
    const start = await open()
    const launch = async (): Promise<KafkaProcess> => {
      const process = await start()
      processes.push(process)
      return process
    }
    const { kafka } = await launch()
    const [input, output, group] = [`in-${randomUUID()}`, `out-${randomUUID()}`, `group-${randomUUID()}`]
    await kafka.admin.ensureTopics([input, output].map((topic) => ({ name: topic, partitions: 2, config: {} })))
    world = {
      kafka,
      input,
      output,
      group,
      launch,
      owner: (port, more = {}) =>
        port.transactional({ transactionalId: `${group}-0`, group, topics: [output], ...more }),
      step: (nextOffset, ...texts) => ({
        writes: [{ topic: output, records: texts.map((text) => textRecord(text)) }],
        offset: { topic: input, partition: 0, progress: { nextOffset, metadata: `at ${nextOffset}` } },
      }),
      async readAll(partition = 0) {
        const batches: RecordBatch[] = []
        const found = (await kafka.admin.offsets(output)).find((offsets) => offsets.partition === partition)!
        const range = { partition, from: 0, to: found.lastStableOffset }
        await kafka.readRanges(output, [range], (batch) => void batches.push(batch))
        return batches
      },
    }
  })
  afterEach(async () => {
    await Promise.all(processes.splice(0).map((process) => process.close()))
  })
  return () => world
}

export function textRecord(text: string, partition = 0): RecordToSend {
  return { partition, key: null, value: textBytes(text), headers: [] }
}

export function textsOf(batches: readonly RecordBatch[]): string[] {
  return batches.flatMap((batch) => batch.records.map(({ value }) => bytesText(value!)))
}
