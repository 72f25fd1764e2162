import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, inject, it } from 'vitest'
import { findJava } from '../../../../cli/src/stack/java.ts'
import { header, textBytes } from '../../../src/core/record.ts'
import { connectKafka } from '../../../src/kafka/connect-kafka.ts'
import { describeKafkaPort } from '../../../src/testing/kafka-contract.ts'

const brokers = inject('kafkaBrokers').split(',')

describeKafkaPort('platformatic producing, kafkajs consuming, on a real broker', () => {
  const kafka = connectKafka({ brokers, clientId: 'contract', producer: 'platformatic' })
  return Promise.resolve({ kafka, close: () => kafka.close() })
})

it("is read by Kafka's own consumer, with every codec", async () => {
  const kafka = connectKafka({ brokers, clientId: 'java', producer: 'platformatic' })
  const topic = `java-${randomUUID()}`
  await kafka.admin.ensureTopics([{ name: topic, partitions: 1, config: {} }])
  const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
  for (const compression of codecs) {
    const producer = await kafka.producer({ compression })
    await producer.send(
      topic,
      ['first', 'second'].map((which) => ({
        partition: 0,
        key: textBytes(compression),
        value: textBytes(`${which} ${'x'.repeat(500)}`),
        headers: [header('a', '1'), { name: 'a', value: null }],
        timestamp: 1_600_000_000_123,
      })),
    )
  }
  await kafka.close()
  const expected = codecs.flatMap((codec) =>
    ['first', 'second'].map((which) => `CreateTime:1600000000123\ta:1,a:null\t${codec}\t${which} ${'x'.repeat(500)}`),
  )
  expect(await readWithJava(topic, expected.length)).toEqual(expected)
})

/** What Kafka's console consumer prints: timestamp, headers, key and value, tabs between. */
async function readWithJava(topic: string, count: number): Promise<string[]> {
  const cache = inject('stackCache')
  const distribution = readdirSync(cache).find((name) => /^kafka-[0-9a-f]+$/.test(name))
  if (distribution === undefined) throw new Error('the stack has fetched no Kafka: run `npm start` once')
  const java = await findJava({ javaHome: process.env['JAVA_HOME'], path: process.env['PATH'] })
  const print = ['timestamp', 'headers', 'key'].flatMap((what) => ['--formatter-property', `print.${what}=true`])
  const { stdout } = await promisify(execFile)(java.path, [
    '-cp',
    join(cache, distribution, 'lib', '*'),
    'org.apache.kafka.tools.consumer.ConsoleConsumer',
    '--bootstrap-server',
    brokers.join(','),
    '--topic',
    topic,
    '--from-beginning',
    '--max-messages',
    String(count),
    ...print,
  ])
  return stdout.trimEnd().split('\n')
}
