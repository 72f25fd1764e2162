// A program of its own, so that its memory and CPU time are its own:
//   bare-client.ts produce|consume BROKERS TOPIC RECORDS PAYLOAD_FILE
// prints one line of JSON (BareResult).
import { readFile } from 'node:fs/promises'
import { kafkajs } from '@mesh/shared/kafka/kafkajs-client'
import { type BareResult, meter } from './meter.ts'

const BATCH = 1000

const [mode = '', brokers = '', topic = '', records = '', payloadFile = ''] = process.argv.slice(2)
const kafka = new kafkajs.Kafka({ brokers: brokers.split(','), clientId: 'bare', logLevel: kafkajs.logLevel.NOTHING })
console.log(JSON.stringify(await (mode === 'produce' ? produce(Number(records)) : consume(Number(records)))))

/** Values only, acks=all, zstd, batches of 1,000 spread over the partitions, one request in flight. */
async function produce(total: number): Promise<BareResult> {
  const lines = (await readFile(payloadFile, 'utf8')).trimEnd().split('\n')
  const producer = kafka.producer({
    maxInFlightRequests: 1,
    createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
  })
  await producer.connect()
  const result = meter()
  for (let at = 0; at < total; at += BATCH) {
    const messages = Array.from({ length: Math.min(BATCH, total - at) }, (_, i) => ({
      value: lines[(at + i) % lines.length]!,
    }))
    await producer.send({ topic, messages, acks: -1, compression: kafkajs.CompressionTypes.ZSTD })
  }
  const measured = result(total)
  await producer.disconnect()
  return measured
}

/** Counts records of whole batches, from the moment the group is joined. */
async function consume(total: number): Promise<BareResult> {
  const consumer = kafka.consumer({ groupId: `bare-${process.pid}` })
  const { promise: done, resolve } = Promise.withResolvers<BareResult>()
  let result = meter()
  let seen = 0
  consumer.on(consumer.events.GROUP_JOIN, () => {
    result = meter()
  })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatch({ batch }) {
      seen += batch.messages.length
      if (seen >= total) resolve(result(seen))
      return Promise.resolve()
    },
  })
  const measured = await done
  await consumer.disconnect()
  return measured
}
