// A program of its own, so that its memory and CPU time are its own:
//   client-role.ts publish BROKERS TOPIC RECORDS CLIENT SHAPE CODEC
//   client-role.ts consume BROKERS TOPIC RECORDS CLIENT
// prints one line of JSON (BareResult).
import { header, type RecordBatch, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import type { ProducerClient } from '@mesh/shared/kafka/connection'
import type { Producer, ProducerOptions } from '@mesh/shared/kafka/port'
import { Consumer } from '@platformatic/kafka'
import { type BareResult, meter } from './meter.ts'
import { sampleValue } from './payload.ts'

export type Shape = 'gateway' | 'enricher'

const PARTITIONS = 6
const VALUE_BYTES = 300
/** A pool that repeats: making values is not what is timed. */
const POOL = 6000
const WARM_UP = 0.2
const GATEWAY = { requests: 4, events: 1000 }
/** As many as fit into the enricher's largest send. */
const ENRICHER_SEND_RECORDS = 1200

const [mode = '', brokers = '', topic = '', count = '', client = '', shape = '', codec = ''] = process.argv.slice(2)
const records = Number(count)
const connection = { brokers: brokers.split(','), clientId: 'bench-role' }
if (mode === 'publish') report(await publish(shape as Shape, codec as Codec))
else report(await (client === 'kafkajs' ? consumeLanes() : consumeStream()))

type Codec = NonNullable<ProducerOptions['compression']>

function report(result: BareResult): void {
  console.log(JSON.stringify(result))
}

/** From the first send to the last answer, after a warm-up of a fifth as many. */
async function publish(how: Shape, compression: Codec): Promise<BareResult> {
  const kafka = connectKafka({ ...connection, producer: client as ProducerClient })
  const producer = await kafka.producer({ compression })
  const pool = Array.from({ length: POOL }, (_, i) => sample(i, how))
  const send = how === 'gateway' ? sendRequests : sendChunks
  await send(producer, pool, Math.ceil(records * WARM_UP))
  const result = meter()
  await send(producer, pool, records)
  const measured = result(records)
  await kafka.close()
  return measured
}

/** Some requests at a time, each cut by partition, the next one when every partition has answered. */
async function sendRequests(producer: Producer, pool: readonly RecordToSend[], total: number): Promise<void> {
  let at = 0
  async function requests(): Promise<void> {
    while (at < total) {
      const events = Array.from({ length: Math.min(GATEWAY.events, total - at) }, (_, i) => pool[(at + i) % POOL]!)
      at += events.length
      const sends = Map.groupBy(events, ({ partition }) => partition)
      await Promise.all([...sends.values()].map((own) => producer.send(topic, own)))
    }
  }
  await Promise.all(Array.from({ length: GATEWAY.requests }, requests))
}

/** One sender for each partition, large sends, the next one when the last is answered. */
async function sendChunks(producer: Producer, pool: readonly RecordToSend[], total: number): Promise<void> {
  async function partition(p: number): Promise<void> {
    const own = pool.filter((record) => record.partition === p)
    for (let left = Math.ceil(total / PARTITIONS); left > 0; left -= ENRICHER_SEND_RECORDS) {
      const length = Math.min(ENRICHER_SEND_RECORDS, left)
      await producer.send(
        topic,
        Array.from({ length }, (_, i) => own[i % own.length]!),
      )
    }
  }
  await Promise.all(Array.from({ length: PARTITIONS }, (_, p) => partition(p)))
}

/** Key and headers as the services set them. */
function sample(i: number, how: Shape): RecordToSend {
  const headers = [
    header('ce_specversion', '1.0'),
    header('ce_id', `bench-${String(i).padStart(8, '0')}`),
    header('ce_source', '/v1/streams/bench/events'),
    header('ce_type', 'bench.event'),
    header('ce_time', '2026-01-31T12:00:00.000Z'),
    header('content-type', 'application/json'),
  ]
  if (how === 'enricher') headers.push(header('mesh-src', `main;9bX2kQmZSwu0o8uVqk3n1A;${i % PARTITIONS};${i};0`))
  const value = textBytes(sampleValue(i, VALUE_BYTES))
  return {
    partition: i % PARTITIONS,
    key: textBytes(`key-${i % 997}`),
    value,
    headers,
    timestamp: 1_767_000_000_000 + i,
  }
}

/** The mesh's consuming loop, from the assignment on. */
async function consumeLanes(): Promise<BareResult> {
  const kafka = connectKafka(connection)
  const counted = counter()
  const consumer = kafka.consumer({
    groupId: `bench-role-${process.pid}`,
    topics: [topic],
    onFatal: (error) => counted.fail(error),
    assign() {
      counted.begin()
      const process = (batch: RecordBatch): Promise<null> => {
        counted.add(batch.records.length)
        return Promise.resolve(null)
      }
      return Promise.resolve({ position: 0, handler: { process } })
    },
  })
  await consumer.start()
  const measured = await counted.done
  await consumer.stop()
  await kafka.close()
  return measured
}

/**
 * The most that `@platformatic/kafka`'s own consumer could give the mesh: its stream, of records that nobody looks at, with
 * nothing of the consuming loop around it.
 */
async function consumeStream(): Promise<BareResult> {
  const counted = counter()
  const { brokers: bootstrapBrokers, clientId } = connection
  const consumer = new Consumer({ clientId, bootstrapBrokers, groupId: `bench-role-${process.pid}` })
  const stream = await consumer.consume({
    topics: [topic],
    mode: 'earliest',
    autocommit: false,
    minBytes: 1,
    maxWaitTime: 100,
    maxBytes: 1_048_576,
    highWaterMark: 16_384,
  })
  counted.begin()
  stream.on('error', (error) => counted.fail(error))
  stream.on('data', () => counted.add(1))
  const measured = await counted.done
  await stream.close()
  await consumer.close(true)
  return measured
}

type Counter = {
  /** The time runs from the first call. */
  begin(): void
  add(count: number): void
  fail(error: unknown): void
  /** Settles with the last record that is asked for. */
  readonly done: Promise<BareResult>
}

function counter(): Counter {
  const { promise, resolve, reject } = Promise.withResolvers<BareResult>()
  let result: ((count: number) => BareResult) | null = null
  let seen = 0
  return {
    done: promise,
    fail: reject,
    begin() {
      result ??= meter()
    },
    add(count) {
      seen += count
      if (seen >= records && result !== null) resolve(result(seen))
    },
  }
}
