import { runTool } from './run-tool.ts'

export type JavaTools = {
  readonly java: string
  readonly classPath: string
  readonly brokers: string
  readonly signal: AbortSignal
}

/**
 * Kafka's own producer tool: records per second with acks=all and the same payloads and codec as the mesh, after as many
 * records again to warm up. It sends record by record, so a client that hands over whole batches may beat it on the same cores.
 */
export async function producerCeiling(
  tools: JavaTools,
  options: { topic: string; records: number; payloadFile: string },
): Promise<number> {
  const output = await run(tools, 'org.apache.kafka.tools.ProducerPerformance', [
    '--bootstrap-server',
    tools.brokers,
    '--topic',
    options.topic,
    '--num-records',
    String(options.records * 2),
    '--warmup-records',
    String(options.records),
    '--payload-file',
    options.payloadFile,
    '--throughput',
    '-1',
    '--command-property',
    'acks=all',
    'compression.type=zstd',
    'batch.size=131072',
    'linger.ms=5',
  ])
  return producerRate(output)
}

/** Kafka's own consumer tool: records per second of fetch time, joining the group left out. */
export async function consumerCeiling(tools: JavaTools, options: { topic: string; records: number }): Promise<number> {
  const output = await run(tools, 'org.apache.kafka.tools.ConsumerPerformance', [
    '--bootstrap-server',
    tools.brokers,
    '--topic',
    options.topic,
    '--num-records',
    String(options.records),
    '--timeout',
    '60000',
  ])
  return consumerRate(output)
}

/** The last summary line is the steady state's when a warm-up was asked for. */
export function producerRate(output: string): number {
  const rate = Number([...output.matchAll(/([\d.]+) records\/sec/g)].at(-1)?.[1])
  if (!Number.isFinite(rate)) throw new Error(`perf tool output is not readable: ${output.slice(-400)}`)
  return rate
}

/** The column fetch.nMsg.sec of the tool's comma-separated lines. */
export function consumerRate(output: string): number {
  const lines = output.trim().split('\n')
  const head = lines.findIndex((line) => line.includes('fetch.nMsg.sec'))
  const column = lines[head]?.split(',').findIndex((name) => name.trim() === 'fetch.nMsg.sec') ?? -1
  const rate = Number(lines[head + 1]?.split(',')[column])
  if (!Number.isFinite(rate)) throw new Error(`consumer-perf output is not readable: ${output.slice(-400)}`)
  return rate
}

function run(tools: JavaTools, main: string, args: readonly string[]): Promise<string> {
  return runTool(tools.java, ['-Xmx512m', '-cp', tools.classPath, main, ...args], tools.signal)
}
