import examples from '@octokit/webhooks-examples'
import { describe, expect, test } from 'vitest'
import { gatewayDouble, headersOf, keyText, sign, valueText, WEBHOOK_SECRET } from '../support/gateway.ts'

const URL = '/webhooks/github'
const BODY = '{\n "zen" : "Design for failure.", "hook_id": 1 }\n'

const headersFor = (
  body: string | Buffer,
  changes: Record<string, string | undefined> = {},
): Record<string, string> => {
  const headers = {
    'content-type': 'application/json',
    'x-github-event': 'ping',
    'x-github-delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
    'x-hub-signature-256': sign(body),
    ...changes,
  }
  return Object.fromEntries(Object.entries(headers).flatMap(([k, v]) => (v === undefined ? [] : [[k, v]])))
}

describe('GitHub webhooks', () => {
  test('a signed delivery is one event with its whole body, its delivery id and its headers', async () => {
    const { app, producer } = gatewayDouble()
    const headers = headersFor(BODY, { 'x-github-hook-id': '292430182', 'x-forwarded-for': '1.2.3.4' })
    const reply = await app.inject({ method: 'POST', url: URL, headers, payload: BODY })
    expect(reply.statusCode).toBe(200)
    expect(reply.json().receipts[0]).toMatchObject({
      status: 'accepted',
      eventId: '72d3162e-cc78-11e3-81ab-4c9367dc0958',
    })
    const [written] = producer.written
    expect(valueText(written!)).toBe(BODY)
    expect(keyText(written!)).toBe('Design for failure.')
    expect(headersOf(written!)).toMatchObject({
      ce_id: '72d3162e-cc78-11e3-81ab-4c9367dc0958',
      ce_type: 'com.github.ping',
      ce_source: 'https://github.com',
      'x-github-event': 'ping',
      'x-github-delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
      'x-github-hook-id': '292430182',
    })
    expect(Object.keys(headersOf(written!))).not.toContain('x-hub-signature-256')
    expect(Object.keys(headersOf(written!))).not.toContain('x-forwarded-for')
  })

  test("every one of GitHub's own examples is taken byte for byte", async () => {
    const { app, producer } = gatewayDouble({ limits: { maxWebhookBytes: 1_000_000 } })
    const definitions = examples as unknown as { name: string; examples: Record<string, unknown>[] }[]
    let sent = 0
    for (const { name, examples: payloads } of definitions) {
      const example = payloads[0]!
      if (!example['repository']) continue
      const body = JSON.stringify(example, null, 2)
      const headers = headersFor(body, { 'x-github-event': name, 'x-github-delivery': `d-${sent}` })
      const reply = await app.inject({ method: 'POST', url: URL, headers, payload: body })
      expect([name, reply.statusCode]).toEqual([name, 200])
      const written = producer.written[sent]!
      expect(valueText(written)).toBe(body)
      const repository = example['repository'] as { full_name: string; html_url: string }
      expect(keyText(written)).toBe(repository.full_name)
      expect(headersOf(written)).toMatchObject({ ce_type: `com.github.${name}`, ce_source: repository.html_url })
      sent++
    }
    expect(sent).toBeGreaterThan(30)
  })

  test('a secret that rotates: the old one is taken beside the new one as long as both are set', async () => {
    const { app, secrets } = gatewayDouble()
    secrets.set('env:OLD', 'old')
    const post = async (secret: string): Promise<number> => {
      const headers = headersFor(BODY, { 'x-hub-signature-256': sign(BODY, secret) })
      return (await app.inject({ method: 'POST', url: URL, headers, payload: BODY })).statusCode
    }
    expect([await post('old'), await post(WEBHOOK_SECRET)]).toEqual([200, 200])
    secrets.delete('env:OLD')
    expect([await post('old'), await post(WEBHOOK_SECRET)]).toEqual([401, 200])
  })

  const wrong = sign(BODY, 'other')
  const refusals: {
    title: string
    changes?: Record<string, string | undefined>
    body?: string | Buffer
    url?: string
    status: number
    code: string
  }[] = [
    {
      title: 'an unsigned delivery',
      changes: { 'x-hub-signature-256': undefined },
      status: 401,
      code: 'MESH_SIGNATURE_MISSING',
    },
    {
      title: 'a wrongly signed delivery',
      changes: { 'x-hub-signature-256': wrong },
      status: 401,
      code: 'MESH_SIGNATURE_INVALID',
    },
    {
      title: 'a signature that is none',
      changes: { 'x-hub-signature-256': 'sha256=zz' },
      status: 401,
      code: 'MESH_SIGNATURE_INVALID',
    },
    {
      title: 'a wrong signature before anything else',
      changes: { 'x-hub-signature-256': wrong, 'x-github-delivery': undefined, 'content-type': 'text/plain' },
      body: '{',
      status: 401,
      code: 'MESH_SIGNATURE_INVALID',
    },
    {
      title: 'a missing delivery id',
      changes: { 'x-github-delivery': undefined },
      status: 400,
      code: 'MESH_WEBHOOK_HEADER',
    },
    {
      title: 'a missing event name',
      changes: { 'x-github-event': undefined },
      status: 400,
      code: 'MESH_WEBHOOK_HEADER',
    },
    {
      title: 'an event name that is none',
      changes: { 'x-github-event': 'a b' },
      status: 400,
      code: 'MESH_WEBHOOK_HEADER',
    },
    {
      title: 'a form body',
      changes: { 'content-type': 'application/x-www-form-urlencoded' },
      status: 415,
      code: 'MESH_BODY_MEDIA_TYPE',
    },
    { title: 'a compressed body', changes: { 'content-encoding': 'gzip' }, status: 415, code: 'MESH_BODY_COMPRESSION' },
    { title: 'signed bytes that are no JSON', body: '{"a":', status: 400, code: 'MESH_EVENT_JSON' },
    {
      title: 'signed bytes that are not UTF-8',
      body: Buffer.from([0x22, 0xff, 0x22]),
      status: 400,
      code: 'MESH_BODY_ENCODING',
    },
    { title: 'an empty body', body: '', status: 400, code: 'MESH_BODY_EMPTY' },
    { title: 'a body over the limit', body: `"${'x'.repeat(20_000)}"`, status: 413, code: 'MESH_BODY_TOO_LARGE' },
    { title: 'a stream without a webhook', url: '/webhooks/open', status: 404, code: 'MESH_STREAM_NO_INGEST' },
    { title: 'an unknown stream', url: '/webhooks/githib', status: 404, code: 'MESH_STREAM_UNKNOWN' },
  ]
  test.for(refusals)('$title → $status $code', async ({ changes, body = BODY, url = URL, status, code }) => {
    const { app, producer, admission } = gatewayDouble()
    const reply = await app.inject({ method: 'POST', url, headers: headersFor(body, changes), payload: body })
    expect([reply.statusCode, reply.json().code]).toEqual([status, code])
    expect(producer.written).toHaveLength(0)
    expect(admission.inFlightBytes()).toBe(0)
  })

  test('without any secret set it fails closed', async () => {
    const { app, secrets, producer } = gatewayDouble()
    secrets.clear()
    const headers = headersFor(BODY, { 'x-hub-signature-256': sign(BODY, '') })
    const reply = await app.inject({ method: 'POST', url: URL, headers, payload: BODY })
    expect([reply.statusCode, reply.json().code]).toEqual([500, 'MESH_SECRET_MISSING'])
    expect(producer.written).toHaveLength(0)
  })
})
