import { MeshError } from '@mesh/shared/core/errors'
import { describe, expect, test, vi } from 'vitest'
import { gatewayDouble, kafkaDown, valueText } from '../support/gateway.ts'

/** Conditions come true at once on a free machine. */
const PATIENT = { timeout: 50_000 }

const JSON_TYPE = { 'content-type': 'application/json' }
const URL = '/v1/streams/open/events'

describe('when Kafka does not acknowledge', () => {
  test('one event gives 503 with Retry-After, the id to send again, and never a 2xx', async () => {
    const { app, producer, admission } = gatewayDouble()
    producer.fail(kafkaDown)
    const reply = await app.inject({ method: 'POST', url: URL, headers: JSON_TYPE, payload: '{"a":1}' })
    expect(reply.statusCode).toBe(503)
    expect(reply.headers['retry-after']).toBe('5')
    expect(reply.json()).toMatchObject({
      code: 'MESH_KAFKA_UNAVAILABLE',
      hint: expect.stringMatching(/same event ids again/),
      receipts: [{ index: 0, status: 'unknown', eventId: 'fresh-0', code: 'MESH_KAFKA_UNAVAILABLE' }],
    })
    expect(admission.inFlightBytes()).toBe(0)
  })

  test('a batch of which a part is unknown is 503, not 207, and tells which part is safe', async () => {
    const { app, producer } = gatewayDouble()
    const payload = JSON.stringify(Array.from({ length: 20 }, (_, n) => ({ n })))
    const headers = { ...JSON_TYPE, 'idempotency-key': 'k' }
    producer.fail((_topic, records) => (records[0]!.partition === 0 ? kafkaDown() : null))
    const reply = await app.inject({ method: 'POST', url: URL, headers, payload })
    expect(reply.statusCode).toBe(503)
    const receipts = reply.json().receipts as { status: string; eventId: string }[]
    expect(new Set(receipts.map((r) => r.status))).toEqual(new Set(['accepted', 'unknown']))
    expect(receipts.filter((r) => r.status === 'accepted')).toHaveLength(producer.written.length)
    expect(receipts.map((r) => r.eventId)).toEqual(Array.from({ length: 20 }, (_, n) => `k/${n}`))
  })

  test('a Kafka that never answers gives 503 in time, and its bytes stay counted', async () => {
    const { app, producer, admission } = gatewayDouble({ limits: { produceTimeoutMs: 20 } })
    producer.fail(() => 'never')
    const reply = await app.inject({ method: 'POST', url: URL, headers: JSON_TYPE, payload: '{"a":1}' })
    expect([reply.statusCode, reply.json().code]).toEqual([503, 'MESH_KAFKA_UNAVAILABLE'])
    expect(reply.json().message).toMatch(/same ids may be sent again/)
    expect(admission.inFlightBytes()).toBeGreaterThan(7)
  })

  test('before Kafka was reached at all it is 503 too', async () => {
    const { app } = gatewayDouble({ producer: null })
    const reply = await app.inject({ method: 'POST', url: URL, headers: JSON_TYPE, payload: '{"a":1}' })
    expect([reply.statusCode, reply.json().code]).toEqual([503, 'MESH_GATEWAY_STARTING'])
  })

  test('an error of the client that is no MeshError is unknown as well', async () => {
    const { app, producer } = gatewayDouble()
    producer.fail(() => new Error('socket hang up'))
    const reply = await app.inject({ method: 'POST', url: URL, headers: JSON_TYPE, payload: '{"a":1}' })
    expect([reply.statusCode, reply.json().code]).toEqual([503, 'MESH_KAFKA_UNAVAILABLE'])
    expect(reply.body).not.toMatch(/socket hang up/)
  })

  test('a record that Kafka finds too large is refused, its neighbours land', async () => {
    const { app, producer } = gatewayDouble()
    const big = `"${'x'.repeat(4000)}"`
    producer.fail((_topic, records) =>
      records.some((r) => r.value!.byteLength > 4000)
        ? new MeshError('MESH_KAFKA_RECORD_TOO_LARGE', 'too large')
        : null,
    )
    const payload = `[1,${big},${Array.from({ length: 12 }, (_, n) => n).join(',')}]`
    const reply = await app.inject({ method: 'POST', url: URL, headers: JSON_TYPE, payload })
    expect(reply.statusCode).toBe(207)
    expect(reply.json().receipts[1]).toMatchObject({ status: 'rejected', code: 'MESH_KAFKA_RECORD_TOO_LARGE' })
    expect(producer.written.map(valueText)).toContain('11')
  })
})

describe('bytes in flight', () => {
  test('above the cap requests get 503 with Retry-After until Kafka has answered', async () => {
    const { app, producer, admission } = gatewayDouble({ maxInFlightBytes: 100_000, limits: { produceTimeoutMs: 20 } })
    let answer: () => void = () => {}
    const send = producer.send.bind(producer)
    vi.spyOn(producer, 'send').mockImplementationOnce(async (topic, records) => {
      await new Promise<void>((resolve) => (answer = resolve))
      return send(topic, records)
    })
    const payload = `[${'1,'.repeat(39)}1]`
    const post = async (): Promise<{ statusCode: number; code: string | undefined; retryAfter: unknown }> => {
      const reply = await app.inject({ method: 'POST', url: URL, headers: JSON_TYPE, payload })
      return { statusCode: reply.statusCode, code: reply.json().code, retryAfter: reply.headers['retry-after'] }
    }
    expect(await post()).toMatchObject({ statusCode: 503, code: 'MESH_KAFKA_UNAVAILABLE' })
    expect(await post()).toEqual({ statusCode: 503, code: 'MESH_GATEWAY_OVERLOADED', retryAfter: '5' })
    expect(admission.isOpen()).toBe(false)
    answer()
    await vi.waitFor(() => expect(admission.inFlightBytes()).toBe(0), PATIENT)
    expect((await post()).statusCode).toBe(200)
  })
})
