import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'

export type JavaTools = { readonly java: string; readonly classPath: string; readonly brokers: string }

/**
 * Kafka's own producer tool: records per second with acks=all, the same payloads, codec and batch size as the mesh uses.
 * It sends record by record, so a client that hands over whole batches may beat it on the same cores.
 */
export async function producerCeiling(
  tools: JavaTools,
  options: { topic: string; records: number; payloadFile: string; compression: string },
): Promise<number> {
  const output = await run(tools, 'org.apache.kafka.tools.ProducerPerformance', [
    '--topic',
    options.topic,
    '--num-records',
    String(options.records),
    '--payload-file',
    options.payloadFile,
    '--throughput',
    '-1',
    '--producer-props',
    `bootstrap.servers=${tools.brokers}`,
    'acks=all',
    `compression.type=${options.compression}`,
    'batch.size=131072',
    'linger.ms=5',
  ])
  return number(/([\d.]+) records\/sec/g, output)
}

/** Kafka's own consumer tool: records per second over a whole topic, fetch time only. */
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
  const lines = output.trim().split('\n')
  const head = lines.find((line) => line.includes('nMsg.sec')) ?? ''
  const values = lines[lines.indexOf(head) + 1] ?? ''
  const column = head.split(',').findIndex((name) => name.trim() === 'nMsg.sec')
  const rate = Number(values.split(',')[column])
  if (!Number.isFinite(rate)) throw new Error(`consumer-perf output is not readable: ${output.slice(-400)}`)
  return rate
}

export async function writePayloadFile(path: string, lines: readonly string[]): Promise<void> {
  await writeFile(path, `${lines.join('\n')}\n`)
}

function number(pattern: RegExp, text: string): number {
  const all = [...text.matchAll(pattern)]
  const last = Number(all.at(-1)?.[1])
  if (!Number.isFinite(last)) throw new Error(`perf tool output is not readable: ${text.slice(-400)}`)
  return last
}

function run(tools: JavaTools, main: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(tools.java, ['-Xmx512m', '-cp', tools.classPath, main, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk))
    child.stderr.on('data', (chunk: Buffer) => (output += chunk))
    child.on('error', reject)
    child.on('exit', (code) =>
      code === 0 ? resolve(output) : reject(new Error(`${main} ended with ${code}: ${output.slice(-600)}`)),
    )
  })
}
