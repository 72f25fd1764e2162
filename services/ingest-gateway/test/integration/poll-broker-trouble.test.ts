import { bytesText, headerText } from '@mesh/shared/core/record'
import { CURSORS_TOPIC } from '@mesh/shared/core/topics'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { until } from '@mesh/shared/testing/until'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Stack } from '../../../../packages/cli/src/stack/stack.ts'
import { type OwnBroker, startOwnBroker } from '../../../../tests/setup/own-broker.ts'
import type { SourceStatus } from '../../src/core/source-status.ts'
import { decidedRecords } from '../support/committed-records.ts'
import { type GatewayProcess, publishStream, startGateway } from '../support/gateway-process.ts'
import { type PagedServer, servePaged, thingsUpTo } from '../support/paged-server.ts'

const THINGS = 400
const PAGE = 4
const STREAM = 'polled'

describe('a broker that is killed in the middle of a poll', { timeout: 600_000 }, () => {
  let broker: OwnBroker
  let stack: Stack
  let kafka: KafkaPort
  let api: PagedServer
  let gateway: GatewayProcess
  let topic: string

  beforeAll(async () => {
    broker = await startOwnBroker('poll-trouble')
    const { lakeUrl } = broker
    stack = broker.stack
    api = await servePaged(thingsUpTo(THINGS))
    kafka = connectKafka({ brokers: [stack.addresses.kafkaBrokers], clientId: 'poll-trouble-test' })
    await kafka.admin.ensureTopics(meshTopics())
    const producer = await kafka.producer()
    const poll = `kind: poll, source: api, path: /things, records: /list, id: /id, every: 1h`
    const query = `query: { limit: '{{size}}', page: '{{page}}', since: '{{since}}' }`
    const rules = `pages: { kind: token, at: /next, size: ${PAGE} }, cursor: { kind: time, at: /at }`
    const published = await publishStream(kafka, producer, {
      name: STREAM,
      lakeUrl,
      partitions: 3,
      yaml: `key: /id\ningest: [{ ${poll}, ${query}, ${rules} }]\n`,
      sources: { api: `name: api\nkind: http\nurl: ${api.url}\n` },
    })
    await producer.close()
    topic = published.topic
    gateway = await startGateway({
      MESH_KAFKA_BROKERS: stack.addresses.kafkaBrokers,
      MESH_LAKE_URL: lakeUrl,
      MESH_OUTBOUND_ALLOWED_CIDRS: '127.0.0.0/8',
      MESH_OUTBOUND_PORTS: String(api.port),
    })
  })
  afterAll(async () => {
    await gateway?.stop('SIGKILL')
    await kafka?.close()
    await api?.close()
    await broker?.stop()
  })

  async function status(): Promise<SourceStatus | undefined> {
    const reply = await fetch(`${gateway.url}/readyz`)
    const { sources } = (await reply.json()) as { sources?: Record<string, SourceStatus> }
    return sources?.[`api/${STREAM}`]
  }

  test('every page is there once for readers of committed records, and so is the position that names the last one', async () => {
    for (const pages of [10, 40]) {
      await until(() => api.asked.length > pages, `${pages} pages`, 90_000)
      await stack.restart('kafka', 'SIGKILL')
    }
    await until(async () => ((await status())?.lastOk ?? null) !== null, 'the run to end', 120_000)
    // The end of a transaction is answered before every partition has its marker.
    const ids = (await decidedRecords(kafka, topic))
      .map(({ headers }) => Number(headerText(headers, 'ce_id')))
      .sort((a, b) => a - b)
    expect(ids).toEqual(Array.from({ length: THINGS }, (_, i) => i))

    const positions = (await decidedRecords(kafka, CURSORS_TOPIC))
      .filter(({ key }) => bytesText(key!).startsWith(`${STREAM}/`))
      .map(({ value }) => JSON.parse(bytesText(value!)) as { seq: number; state: { run: { pages: number } | null } })
    // One transaction a page: no step is written twice, and none is left out.
    expect(positions.map(({ seq }) => seq)).toEqual(Array.from({ length: THINGS / PAGE }, (_, i) => i + 1))
    expect(positions.at(-1)?.state.run).toBeNull()
    expect(gateway.child.exitCode).toBeNull()
  })
})
