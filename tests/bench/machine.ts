import { readdirSync } from 'node:fs'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { join } from 'node:path'

export type MachineFacts = {
  readonly date: string
  readonly cores: number
  readonly cpu: string
  readonly memoryGb: number
  readonly node: string
  readonly kafka: string
  readonly java: string
}

export function machineFacts(kafkaDistribution: string, java: string): MachineFacts {
  const jar = readdirSync(join(kafkaDistribution, 'lib')).find((name) => name.startsWith('kafka-clients-')) ?? ''
  return {
    date: new Date().toISOString().slice(0, 10),
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGb: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    kafka: /kafka-clients-(.+)\.jar/.exec(jar)?.[1] ?? 'unknown',
    java,
  }
}

export type RunFacts = {
  readonly records: number
  readonly repeats: number
  readonly recordBytes: number
  /** One minute's average before the run: well above 0, something else was using the machine. */
  readonly loadBefore: number
}

export function renderMachine(machine: MachineFacts, loadBefore: number): string {
  return `${machine.date}: ${machine.cores} cores (${machine.cpu}), ${machine.memoryGb} GB, Node ${machine.node}, Kafka ${machine.kafka}, Java ${machine.java}; load before the run ${loadBefore.toFixed(1)}.`
}

export function renderRun({ records, repeats, recordBytes }: RunFacts): string {
  return `Repeats: ${repeats}, each of ${records.toLocaleString('en-US')} flights of ${Math.round(recordBytes)} bytes on average; 6 partitions, acks=all, zstd.`
}
