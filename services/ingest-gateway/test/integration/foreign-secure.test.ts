import { mkdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesText, textBytes } from '@mesh/shared/core/record'
import type { KafkaSource } from '@mesh/shared/core/source'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import { findSecret } from '@mesh/shared/runtime/secrets'
import { buildIngest } from '@mesh/shared/schema/contract-ingest'
import { createMemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { makeClientFiles, makeTlsFiles } from '@mesh/shared/testing/tls-files'
import { until } from '@mesh/shared/testing/until'
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest'
import { connectForeign } from '../../src/adapters/foreign-kafka.ts'
import {
  createTopics,
  type PollingGateway,
  polledStream,
  rawRecords,
  startPolling,
} from '../support/polling-gateway.ts'
import { type SecureBroker, startSecureBroker } from '../support/secure-broker.ts'

const ENV = { LEGACY_PASSWORD: 'pass-word', WRONG: 'x' }
let folder: string
let broker: SecureBroker
let source: KafkaSource
const running: PollingGateway[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mesh-secure-'))
  const kafkaFolder = join(folder, 'kafka')
  mkdirSync(kafkaFolder)
  const tls = makeTlsFiles(join(folder, 'tls'))
  makeTlsFiles(join(folder, 'other'))
  broker = await startSecureBroker({
    cache: inject('stackCache'),
    folder: kafkaFolder,
    tls,
    user: 'mesh',
    password: ENV.LEGACY_PASSWORD,
  })
  source = {
    name: 'legacy',
    description: '',
    owner: '',
    kind: 'kafka',
    brokers: broker.secure,
    tls: true,
    ca: `file:${tls.ca}`,
    sasl: { mechanism: 'plain', user: 'mesh', password: 'env:LEGACY_PASSWORD' },
    registry: null,
  }
  const plain = connectKafka({ brokers: [broker.plain], clientId: 'secure-test' })
  await plain.admin.ensureTopics([{ name: 'orders', partitions: 2, config: {} }])
  const producer = await plain.producer()
  const orders = Array.from({ length: 20 }, (_, n) => ({
    partition: n % 2,
    key: textBytes(`k${n}`),
    value: textBytes(`{"n":${n}}`),
    headers: [],
  }))
  await producer.send('orders', orders)
  await producer.close()
  await plain.close()
})
afterEach(async () => {
  for (const gateway of running.splice(0)) await gateway.stop()
})
afterAll(async () => {
  await broker?.stop()
  await rm(folder, { recursive: true, force: true })
})

async function read(changes: Partial<KafkaSource>): Promise<{ gateway: PollingGateway; values: () => string[] }> {
  const from = { ...source, ...changes }
  const kafka = createMemoryKafka()
  const stream = polledStream(buildIngest({ kind: 'kafka', source: 'legacy', topic: 'orders' }), from, { key: [] })
  await createTopics(kafka, stream)
  const foreign = (): ReturnType<typeof connectForeign> =>
    connectForeign(from, (reference) => findSecret(ENV, reference))
  const gateway = await startPolling(kafka, stream, { ports: [], foreign })
  running.push(gateway)
  return { gateway, values: () => rawRecords(kafka, stream).map(({ value }) => bytesText(value!)) }
}

test.each(['plain', 'scram-sha-512'] as const)('a topic is copied over TLS with SASL %s', async (mechanism) => {
  const { values } = await read({ sasl: { mechanism, user: 'mesh', password: 'env:LEGACY_PASSWORD' } })
  await until(() => values().length === 20, 'all orders', 60_000)
  expect(new Set(values()).size).toBe(20)
})

test('a broker that asks for a certificate is shown the one of the source', async () => {
  const { cert, key } = makeClientFiles(join(folder, 'tls'), 'mesh')
  const { values } = await read({
    brokers: broker.certified,
    sasl: null,
    cert: `file:${cert}`,
    key: `file:${key}`,
  })
  await until(() => values().length === 20, 'all orders', 60_000)
  expect(new Set(values()).size).toBe(20)
})

test('who has no certificate, or one of another authority, copies nothing and is told', async () => {
  const { cert, key } = makeClientFiles(join(folder, 'other'), 'mesh')
  for (const shown of [{}, { cert: `file:${cert}`, key: `file:${key}` }]) {
    const { gateway, values } = await read({ brokers: broker.certified, sasl: null, ...shown })
    await until(() => gateway.status().state === 'failing', 'the failure', 120_000)
    expect(gateway.status().error?.hint).not.toBe('')
    expect(values()).toEqual([])
    await gateway.stop()
    running.splice(running.indexOf(gateway), 1)
  }
})

test.each([
  ['a wrong password', { sasl: { mechanism: 'plain', user: 'mesh', password: 'env:WRONG' } }],
  ['a certificate of another authority', { ca: 'other' }],
  ['plain text', { tls: false }],
] as const)('%s is told, and nothing is copied', async (_what, changes) => {
  const { ca, ...rest } = changes as Partial<KafkaSource>
  const { gateway, values } = await read({
    ...rest,
    ...(ca === undefined ? {} : { ca: `file:${join(folder, 'other', 'ca.crt')}` }),
  })
  await until(() => gateway.status().state === 'failing', 'the failure', 120_000)
  expect(gateway.status().error?.hint).not.toBe('')
  expect(gateway.status().error?.message).not.toContain('pass-word')
  expect(values()).toEqual([])
})
