import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import path from 'node:path'
import { textBytes } from '@mesh/shared/core/record'
import { rawTopic, VERSIONS_TOPIC } from '@mesh/shared/core/topics'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import { freePort } from '@mesh/shared/testing/free-port'
import { expect, inject, onTestFinished, test } from 'vitest'
import { spawnService } from '../../../../tests/setup/spawn-service.ts'
import type { Snapshot } from '../../src/core/snapshot-types.ts'
import { streamState, version } from '../unit/inputs.ts'

const SETTLE = { timeout: 90_000, interval: 100 }

test('the process shows a stream of the real broker with its counts, and stops when asked', async () => {
  const brokers = inject('kafkaBrokers')
  const kafka = connectKafka({ brokers: brokers.split(','), clientId: 'console-test' })
  onTestFinished(() => kafka.close())
  const stream = `console-${randomUUID().slice(0, 8)}`
  await kafka.admin.ensureTopics([...meshTopics(), { name: rawTopic(stream), partitions: 2, config: {} }])
  const producer = await kafka.producer()
  const state = { ...streamState([version(1)]), stream }
  const put = (value: Uint8Array | null): Promise<unknown> =>
    producer.send(VERSIONS_TOPIC, [{ partition: 0, key: textBytes(stream), value, headers: [] }])
  await put(textBytes(JSON.stringify(state)))
  const event = { key: null, value: textBytes('{}'), headers: [] }
  await producer.send(rawTopic(stream), [
    { partition: 0, ...event },
    { partition: 1, ...event },
  ])

  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const { child } = spawnService(path.join(import.meta.dirname, '..', '..', 'src', 'main.ts'), {
    MESH_KAFKA_BROKERS: brokers,
    MESH_HTTP_PORT: String(port),
    MESH_SERVICE_URLS: 'enricher=http://127.0.0.1:1,console=http://127.0.0.1:2',
  })
  const status = (): Promise<number> =>
    fetch(`${url}/readyz`).then(
      (response) => response.status,
      () => 0,
    )
  await expect.poll(status, SETTLE).toBe(200)
  const shown = async (): Promise<unknown> => {
    const { streams, services } = (await (await fetch(`${url}/api/snapshot`)).json()) as Snapshot
    return { own: streams.find((each) => each.stream === stream), services }
  }
  await expect.poll(shown, SETTLE).toMatchObject({
    own: { epoch: 3, raw: { written: 2 }, bronze: { lag: 2, counts: null }, deadLetters: { written: null } },
    services: [{ name: 'enricher', state: 'down' }],
  })
  // An open page does not hold the process up.
  const events = await fetch(`${url}/events`)
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([0, null])
  await events.body?.cancel().catch(() => {})
  await put(null)
}, 240_000)
