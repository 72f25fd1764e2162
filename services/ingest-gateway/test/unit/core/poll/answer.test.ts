import { MeshError } from '@mesh/shared/core/errors'
import { expect, test } from 'vitest'
import { nextLink, readFailure } from '../../../../src/core/poll/answer.ts'
import { pauseMs, retryAfterMs } from '../../../../src/core/poll/pause.ts'
import { beginRun, FRESH_STATE } from '../../../../src/core/poll/state.ts'
import { type Answering, NOW, parameters, specOf, turn, wholeRun } from './polling.ts'

const CONNECTION = specOf({
  graphql: {
    query: 'query($after: String, $n: Int) { q }',
    variables: { after: '{{page}}', n: '{{size}}' },
    partial: 'fail',
  },
  method: 'POST',
  records: '/data/q/edges',
  each: '/node',
  pages: { kind: 'token', at: '/data/q/pageInfo/endCursor', hasMore: '/data/q/pageInfo/hasNextPage' },
  pageSize: 2,
})

test('events are the exact bytes that the server sent', () => {
  const spec = specOf({ records: '/data/list', each: '/node' })
  const outcome = turn(spec, FRESH_STATE, () => ({ body: '{"data":{"list":[ {"node": {"a" :1.0}}, {"node":"x"} ]}}' }))
  if (outcome.kind !== 'page') throw outcome.error
  expect(outcome.events.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(['{"a" :1.0}', '"x"'])
})

test('a GraphQL connection is paged by its cursor, with variables in their own types', () => {
  const answering: Answering = (request) => {
    const { variables } = JSON.parse(request.body!) as { variables: { after: string | null } }
    const last = variables.after === 'c1'
    return {
      body: {
        data: { q: { edges: [{ node: { id: last ? 2 : 1 } }], pageInfo: { endCursor: 'c1', hasNextPage: !last } } },
      },
    }
  }
  const { events, requests } = wholeRun(CONNECTION, FRESH_STATE, answering)
  expect(events).toEqual([{ id: 1 }, { id: 2 }])
  expect(requests.map((r) => (JSON.parse(r.body!) as { variables: unknown }).variables)).toEqual([
    { after: null, n: 2 },
    { after: 'c1', n: 2 },
  ])
})

test('a GraphQL answer with errors is worth nothing, or its data where the contract says so', () => {
  const body = {
    errors: [{ message: 'secret of the server', extensions: { code: 'TIMEOUT' } }],
    data: { q: { edges: [{ node: 1 }], pageInfo: { hasNextPage: false } } },
  }
  const failed = turn(CONNECTION, FRESH_STATE, () => ({ body }))
  expect(failed).toMatchObject({ kind: 'failed', error: { code: 'MESH_POLL_GRAPHQL' } })
  expect(failed.kind === 'failed' && failed.error.message).toContain('(TIMEOUT)')
  expect(failed.kind === 'failed' && failed.error.message).not.toContain('secret')
  const taking = { ...CONNECTION, graphql: { ...CONNECTION.graphql!, partial: 'take' as const } }
  expect(wholeRun(taking, FRESH_STATE, () => ({ body })).events).toEqual([1])
  const nothing = turn(taking, FRESH_STATE, () => ({ body: { ...body, data: null } }))
  expect(nothing).toMatchObject({ error: { code: 'MESH_POLL_GRAPHQL' } })
})

test.each([
  [200, { 'content-type': 'text/html; charset=utf-8' }, '<html>', 'MESH_POLL_NOT_JSON'],
  [200, {}, '<html>', 'MESH_POLL_NOT_JSON'],
  [200, {}, '[1,', 'MESH_POLL_NOT_JSON'],
  [200, {}, '{"list": null}', 'MESH_POLL_SHAPE'],
  [200, {}, '{"list": {"a": 1}}', 'MESH_POLL_SHAPE'],
  [200, {}, '{"other": []}', 'MESH_POLL_SHAPE'],
  [401, {}, '', 'MESH_POLL_AUTH'],
  [403, {}, '', 'MESH_POLL_AUTH'],
  [404, {}, '', 'MESH_POLL_STATUS'],
  [429, {}, '', 'MESH_POLL_RATE_LIMITED'],
  [500, {}, '', 'MESH_POLL_SERVER'],
])('an answer %i %j %s takes nothing and moves nothing: %s', (status, headers, body, code) => {
  const outcome = turn(specOf({ records: '/list' }), FRESH_STATE, () => ({ status, headers: { ...headers }, body }))
  expect(outcome).toMatchObject({ kind: 'failed', error: { code } })
  expect(outcome.kind === 'failed' && outcome.retry.since).toBe(null)
})

test('pages that repeat, or do not end, stop the poll', () => {
  const spec = specOf({
    records: '/list',
    query: { page: '{{page}}' },
    pages: { kind: 'token', at: '/next', hasMore: null },
    maxPages: 5,
  })
  expect(() => wholeRun(spec, FRESH_STATE, () => ({ body: { list: [], next: 'same' } }))).toThrow(
    /same next page twice/,
  )
  let n = 0
  expect(() => wholeRun(spec, FRESH_STATE, () => ({ body: { list: [], next: n++ % 2 ? 'a' : 'b' } }))).toThrow(
    /5 pages/,
  )
})

test('an answer that says there is more and does not say where is wrong', () => {
  const body = { data: { q: { edges: [], pageInfo: { hasNextPage: true, endCursor: null } } } }
  expect(turn(CONNECTION, FRESH_STATE, () => ({ body }))).toMatchObject({ error: { code: 'MESH_POLL_SHAPE' } })
})

test('links are followed at the source only, and without the credential that the server repeats', () => {
  const spec = { ...specOf({ pages: { kind: 'link', at: null } }), secretParameter: 'api_key' }
  const link =
    (target: string): Answering =>
    () => ({ headers: { link: `<${target}>; rel="next"` }, body: [1] })
  const good = turn(spec, FRESH_STATE, link('/things?page=2&api_key=s'))
  expect(good.kind === 'page' && good.next.run?.page.token).toBe('http://api.example/things?page=2')
  const away = turn(spec, FRESH_STATE, link('http://evil.example/things'))
  expect(away).toMatchObject({ error: { code: 'MESH_POLL_SHAPE' } })
})

test.each([
  ['<a>; rel="next"', 'a'],
  ['<p>; rel="prev", <n>; title="x, y"; rel=next', 'n'],
  ['<n>; rel="last next"', 'n'],
  ['<n>; rel="nextish"', null],
  ['', null],
  [undefined, null],
])('the next link of %s is %s', (header, link) => {
  expect(nextLink(header)).toBe(link)
})

test('a token that has expired in the middle of a run begins the run again', () => {
  const spec = specOf({
    records: '/list',
    query: { p: '{{page}}' },
    pages: { kind: 'token', at: '/next', hasMore: null },
  })
  const first = turn(spec, FRESH_STATE, () => ({ body: { list: [1], next: 'p2' } }))
  if (first.kind !== 'page') throw first.error
  const gone = turn(spec, first.next, () => ({ status: 410, body: '' }))
  expect(gone).toMatchObject({ kind: 'failed', retry: { run: null } })
})

test('an unchanged list is asked for by its validators, and is a run without events', () => {
  const spec = specOf()
  const first = wholeRun(spec, FRESH_STATE, () => ({
    headers: { etag: '"1"', 'last-modified': 'Sat, 10 Jan 2026 00:00:00 GMT' },
    body: [1],
  }))
  const second = wholeRun(spec, first.state, () => ({ status: 304, body: '' }))
  expect(second.requests[0]!.headers).toMatchObject({
    'if-none-match': '"1"',
    'if-modified-since': 'Sat, 10 Jan 2026 00:00:00 GMT',
  })
  expect(second.events).toEqual([])
  expect(second.state).toMatchObject({ validators: first.state.validators, runs: 2 })
})

test('a page that is too large or too slow is halved, and grows back when things go well', () => {
  const spec = specOf({ query: { limit: '{{size}}' }, pageSize: 100 })
  let state = beginRun(spec, FRESH_STATE, NOW)
  for (const size of [50, 25, 12]) {
    const outcome = readFailure(spec, state, new MeshError('MESH_HTTP_TIMEOUT', 'x'))
    state = outcome.kind === 'failed' ? outcome.retry : state
    expect(state.size).toBe(size)
  }
  const sizes: (string | undefined)[] = []
  for (let i = 0; i < 40; i++) {
    const run = wholeRun(spec, state, () => ({ body: [] }))
    sizes.push(parameters(run.requests[0]!)['limit'])
    state = run.state
  }
  expect(sizes.slice(0, 4)).toEqual(['12', '12', '12', '15'])
  expect(sizes.at(-1)).toBe('100')
  const byNumber = specOf({ pages: { kind: 'number', first: 1 }, pageSize: 100 })
  const kept = readFailure(byNumber, beginRun(byNumber, FRESH_STATE, NOW), new MeshError('MESH_HTTP_TIMEOUT', 'x'))
  expect(kept).toMatchObject({ retry: { size: 100 } })
})

test('Retry-After is read as seconds and as a date, and bounded', () => {
  expect(retryAfterMs('120', NOW)).toBe(120_000)
  expect(retryAfterMs('Sat, 10 Jan 2026 00:00:30 GMT', NOW)).toBe(30_000)
  expect(retryAfterMs('Fri, 09 Jan 2026 00:00:30 GMT', NOW)).toBe(0)
  expect(retryAfterMs('999999999', NOW)).toBe(86_400_000)
  for (const text of [undefined, '', 'soon', '-5', '1.5']) expect(retryAfterMs(text, NOW)).toBeNull()
})

test('the pause grows with every failure, and is never shorter than what the server asks', () => {
  expect([1, 2, 3, 20].map((attempt) => pauseMs(attempt, null, 0))).toEqual([500, 1000, 2000, 150_000])
  expect(pauseMs(1, 30_000, 0)).toBe(30_000)
  expect(pauseMs(1, 30_000, 0.99)).toBeGreaterThan(30_000)
  expect(pauseMs(1, 0, 0)).toBeGreaterThan(0)
})
