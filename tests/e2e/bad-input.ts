import { createHmac } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { queryWarehouse } from '@mesh/shared/warehouse/duckdb-reader'
import { expect, it } from 'vitest'
import type { MeshUnderTest } from './mesh-under-test.ts'

type Answer = {
  status: number
  code: string | undefined
  body: {
    code?: string
    message?: string
    hint?: string
    receipts?: { status: string; code?: string; message?: string }[]
  }
}

/** Wrong input, each with a clear answer; what is good in the same request lands, and nothing is rounded. */
export function describeBadInput(mesh: () => MeshUnderTest): void {
  async function post(path: string, body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Answer> {
    const { gateway } = mesh()
    const response = await fetch(`${gateway.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${gateway.apiKey}`, ...headers },
      body: body as NonNullable<RequestInit['body']>,
    })
    const answer = (await response.json()) as Answer['body']
    return { status: response.status, code: answer.code ?? answer.receipts?.find((r) => r.code)?.code, body: answer }
  }
  const flights = '/v1/streams/flights/events'
  const flight = (id: string, more = ''): string =>
    `{"id":"${id}","date":"2001/01/01 06:55","delay":-19,"distance":1797,"origin":"LAX","destination":"BNA"${more}}`

  it('refuses what is wrong with a code, the place and the way out', async () => {
    const hook = (signature: string | null): Record<string, string> => ({
      'x-github-event': 'ping',
      'x-github-delivery': 'bad-1',
      ...(signature === null ? {} : { 'x-hub-signature-256': signature }),
    })
    const wrong = `sha256=${createHmac('sha256', 'not the secret').update('{}').digest('hex')}`
    const cases: [string, Answer, number, string][] = [
      ['unsigned', await post('/webhooks/github', '{}', hook(null)), 401, 'MESH_SIGNATURE_MISSING'],
      ['wrongly signed', await post('/webhooks/github', '{}', hook(wrong)), 401, 'MESH_SIGNATURE_INVALID'],
      ['no key', await post(flights, flight('x'), { authorization: '' }), 401, 'MESH_AUTH_MISSING'],
      ['wrong key', await post(flights, flight('x'), { authorization: 'Bearer nobody' }), 401, 'MESH_AUTH_INVALID'],
      [
        'oversize event',
        await post(flights, flight('x', `,"note":"${'x'.repeat(1_100_000)}"`)),
        413,
        'MESH_EVENT_TOO_LARGE',
      ],
      ['truncated JSON', await post(flights, flight('x').slice(0, -9)), 400, 'MESH_EVENT_JSON'],
      [
        'invalid UTF-8',
        await post(flights, Buffer.concat([Buffer.from('{"id":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')])),
        400,
        'MESH_BODY_ENCODING',
      ],
      ['unknown stream', await post('/v1/streams/flihgts/events', flight('x')), 404, 'MESH_STREAM_UNKNOWN'],
      ['no key field', await post(flights, '{"id":"x","date":"2001/01/01 06:55"}'), 422, 'MESH_EVENT_KEY'],
      ['empty body', await post(flights, ''), 400, 'MESH_BODY_EMPTY'],
      ['media type', await post(flights, 'a,b', { 'content-type': 'text/csv' }), 415, 'MESH_BODY_MEDIA_TYPE'],
    ]
    for (const [name, answer, status, code] of cases) {
      expect({ name, status: answer.status, code: answer.code }).toEqual({ name, status, code })
    }
    expect(cases.find(([name]) => name === 'unknown stream')![1].body.message).toContain('flights')
    expect(JSON.stringify(cases.find(([name]) => name === 'truncated JSON')![1].body)).toMatch(/line 1/)
  })

  it('lands good neighbours of a bad line, and loses or rounds nothing of them', async () => {
    const lines = [flight('good-1'), '{"id":"bad", oops', flight('good-2', ',"big":12345678901234567890'), flight('')]
    const answer = await post(flights, lines.join('\n'), { 'content-type': 'application/x-ndjson' })
    expect(answer.status).toBe(207)
    expect(answer.body.receipts!.map((receipt) => receipt.status)).toEqual([
      'accepted',
      'rejected',
      'accepted',
      'rejected',
    ])
    expect(answer.body.receipts![1]).toMatchObject({ code: 'MESH_EVENT_JSON' })
    const { books, warehouseFile } = mesh()
    expect((await books()).flatMap((summary) => summary.verdicts.flatMap((verdict) => verdict.findings))).toEqual([])
    const rows = await queryWarehouse(
      warehouseFile,
      "select _event_id from FLIGHTS where _event_id like 'good-%' order by 1",
    )
    expect(rows.rows.map((row) => row['_event_id'])).toEqual(['good-1', 'good-2'])
  })

  it('keeps an event that refine cannot take as a dead letter with its bytes, and its neighbours flow', async () => {
    const { kafka, books } = mesh()
    const before = await kafka.admin.offsets('dead-letter.flights.v1')
    const bad = flight('dead-1').replace('2001/01/01 06:55', 'yesterday')
    const answer = await post(flights, `${bad}\n${flight('alive-1')}`, { 'content-type': 'application/x-ndjson' })
    expect(answer.status).toBe(200)
    await books()
    const after = await kafka.admin.offsets('dead-letter.flights.v1')
    const ranges = after.map(({ partition, highWatermark }, i) => ({
      partition,
      from: before[i]!.highWatermark,
      to: highWatermark,
    }))
    const letters: { value: string; headers: Record<string, string> }[] = []
    await kafka.readRanges('dead-letter.flights.v1', ranges, (batch) => {
      for (const { value, headers } of batch.records) {
        const named = headers.map((h) => [h.name, Buffer.from(h.value ?? []).toString()])
        letters.push({
          value: Buffer.from(value ?? []).toString(),
          headers: Object.fromEntries(named) as Record<string, string>,
        })
      }
    })
    // At least once: a process that was stopped in between may have written it again, under the same mesh-src.
    const own = letters.filter(({ value }) => value === bad)
    expect(new Set(own.map(({ headers }) => headers['mesh-src'])).size).toBe(1)
    expect(own[0]!.headers).toMatchObject({
      'mesh-error-code': 'FLIGHT_DATE',
      '__connect.errors.topic': 'raw.flights.v1',
    })
  })

  it.each([
    [
      'a key nobody knows',
      'name: odd\nkye: /id\nrefine: { schema: refined.avsc }\n',
      'MESH_CONTRACT_INVALID',
      /stream\.yaml:2.*key/,
    ],
    [
      'an option that is not built',
      'name: odd\nrefine: { schema: refined.avsc }\nlake: { silver: { format: parquet, table: delta } }\n',
      'MESH_CONTRACT_NOT_YET',
      /stream\.yaml:3/,
    ],
    ['a missing schema', 'name: odd\nrefine: { schema: nowhere.avsc }\n', 'MESH_CONTRACT_', /nowhere\.avsc/],
  ])('refuses a contract with %s, naming file and line', async (_name, yaml, code, text) => {
    const project = mkdtempSync(join(tmpdir(), 'mesh-project-'))
    mkdirSync(join(project, 'streams', 'odd'), { recursive: true })
    const head = 'description: odd\nowner: odd@example.com\ningest: [{ kind: events, auth: none }]\n'
    writeFileSync(join(project, 'streams', 'odd', 'stream.yaml'), yaml + head)
    writeFileSync(
      join(project, 'streams', 'odd', 'refined.avsc'),
      '{"type":"record","name":"Odd","fields":[{"name":"id","type":"string"}]}',
    )
    const refused = await mesh()
      .apply(project, ['odd'])
      .then(
        () => null,
        (error: Error & { code: string; place?: string }) => error,
      )
    expect(refused?.code).toContain(code)
    expect(`${refused?.place ?? ''} ${refused?.message}`).toMatch(text)
    rmSync(project, { recursive: true, force: true })
  })
}
