import { join } from 'node:path'
import type { BenchMesh } from './bench-mesh.ts'
import { consumerCeiling, producerCeiling } from './java-ceiling.ts'
import type { BareResult } from './meter.ts'
import { runTool } from './run-tool.ts'
import type { Ceilings, Measurement } from './table.ts'

export const HOPS = {
  javaProduce: 'kafka-producer-perf-test',
  javaConsume: 'kafka-consumer-perf-test',
  bareProduce: 'bare client producing',
  bareConsume: 'bare client consuming',
  gateway: 'ingest-gateway',
  bronze: 'lake-sink (bronze)',
  enricher: 'enricher (at-least-once)',
  exactlyOnce: 'enricher (exactly-once)',
  silver: 'lake-sink (silver)',
  landing: 'warehouse-sink',
  replayer: 'replayer (from the lake)',
} as const

const PRODUCE = [HOPS.javaProduce, HOPS.bareProduce]
const CONSUME = [HOPS.javaConsume, HOPS.bareConsume]

/** Those that write are held against writers; those that only read Kafka, against readers; the enricher, which does both, against both. */
export const CEILINGS: Ceilings = {
  [HOPS.gateway]: PRODUCE,
  [HOPS.enricher]: [...PRODUCE, HOPS.bareConsume],
  [HOPS.exactlyOnce]: [...PRODUCE, HOPS.bareConsume, HOPS.enricher],
  [HOPS.replayer]: PRODUCE,
  [HOPS.bronze]: CONSUME,
  [HOPS.silver]: CONSUME,
  [HOPS.landing]: CONSUME,
}

const PARTITIONS = 6
const JAVA_TOPIC = 'bench-java'
const BARE_TOPIC = 'bench-bare'
const WARM_TOPIC = 'bench-warm-up'

/** What this broker gives to Kafka's own tools and to the client alone, after a round that warms it up. */
export async function measureCeilings(
  mesh: BenchMesh,
  { records, payloadFile }: { records: number; payloadFile: string },
): Promise<Measurement[]> {
  await mesh.kafka.admin.ensureTopics(
    [WARM_TOPIC, JAVA_TOPIC, BARE_TOPIC].map((name) => ({ name, partitions: PARTITIONS, config: {} })),
  )
  const bare = (mode: 'produce' | 'consume', topic: string): Promise<BareResult> =>
    runBare(mesh, [mode, mesh.tools.brokers, topic, String(records), payloadFile])

  await bare('produce', WARM_TOPIC)
  await bare('consume', WARM_TOPIC)

  const java = async (hop: string, ask: () => Promise<number>): Promise<Measurement> => {
    const broker = await brokerMeter(mesh)
    const perSecond = await ask()
    const brokerCpuPerMillion = await broker(records * 2)
    return { hop, unit: 'records', perSecond, cpuPerMillion: null, brokerCpuPerMillion, peakMb: null }
  }
  const client = async (hop: string, mode: 'produce' | 'consume'): Promise<Measurement> => {
    const broker = await brokerMeter(mesh)
    const { perSecond, cpuSeconds, peakMb } = await bare(mode, BARE_TOPIC)
    const cpuPerMillion = (cpuSeconds / records) * 1e6
    return { hop, unit: 'records', perSecond, cpuPerMillion, brokerCpuPerMillion: await broker(records), peakMb }
  }
  return [
    await java(HOPS.javaProduce, () => producerCeiling(mesh.tools, { topic: JAVA_TOPIC, records, payloadFile })),
    await java(HOPS.javaConsume, () => consumerCeiling(mesh.tools, { topic: JAVA_TOPIC, records: records * 2 })),
    await client(HOPS.bareProduce, 'produce'),
    await client(HOPS.bareConsume, 'consume'),
  ]
}

/** Starts counting the broker's CPU time; the returned function ends it and divides by a number of records. */
export async function brokerMeter(mesh: BenchMesh): Promise<(records: number) => Promise<number>> {
  const before = (await mesh.usage('kafka'))?.cpuSeconds ?? 0
  return async (records) => ((((await mesh.usage('kafka'))?.cpuSeconds ?? 0) - before) / records) * 1e6
}

async function runBare(mesh: BenchMesh, args: readonly string[]): Promise<BareResult> {
  const program = join(import.meta.dirname, 'bare-client.ts')
  const output = await runTool(process.execPath, [program, ...args], mesh.tools.signal)
  return JSON.parse(output.trim().split('\n').at(-1) ?? '') as BareResult
}
