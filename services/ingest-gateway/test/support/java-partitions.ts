import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { findJava } from '../../../../packages/cli/src/stack/java.ts'

const SEPARATOR = '\t'

/** Writes one record per key with Kafka's own Java producer and its default partitioner. Keys hold no tab and no line feed. */
export async function produceWithJava(options: {
  stackCache: string
  brokers: string
  topic: string
  keys: readonly string[]
}): Promise<void> {
  // Not kafka-connect, which lies beside it once a test has fetched it.
  const distribution = readdirSync(options.stackCache).find((name) => /^kafka-[0-9a-f]+$/.test(name))
  if (distribution === undefined) throw new Error('the stack has fetched no Kafka: run `npm start` once')
  const java = await findJava({ javaHome: process.env['JAVA_HOME'], path: process.env['PATH'] })
  const child = spawn(
    java.path,
    [
      '-cp',
      join(options.stackCache, distribution, 'lib', '*'),
      'org.apache.kafka.tools.ConsoleProducer',
      '--bootstrap-server',
      options.brokers,
      '--topic',
      options.topic,
      '--reader-property',
      'parse.key=true',
      '--reader-property',
      `key.separator=${SEPARATOR}`,
    ],
    { stdio: ['pipe', 'ignore', 'pipe'] },
  )
  let output = ''
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stdin.end(options.keys.map((key) => `${key}${SEPARATOR}from java\n`).join(''))
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`the Java producer ended with ${code}: ${output.slice(-600)}`)
}
