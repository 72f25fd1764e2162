import { expect, test } from 'vitest'
import { buildIngest, checkIngests, type RawIngest } from '../../../src/schema/contract-ingest.ts'
import { schemaProblems } from '../../../src/schema/contract-schema.ts'
import { parseContractYaml } from '../../../src/schema/contract-yaml.ts'

function problems(ingest: string, rest = 'key: /id'): string[] {
  const yaml = parseContractYaml(
    `name: s\nrefine: { schema: r.avsc }\n${rest}\ningest: [{ ${ingest} }]\n`,
    'stream.yaml',
  )
  const found = schemaProblems(yaml.value).map(({ reason }) => reason)
  const report = (_path: unknown, reason: string): void => void found.push(reason)
  if (found.length === 0) checkIngests(yaml.value as { ingest: RawIngest[] }, report)
  return found
}

const POLL = 'kind: poll, source: api'

test('a poll gets its defaults', () => {
  expect(buildIngest({ kind: 'poll', source: 'api', id: '/id' })).toEqual({
    kind: 'poll',
    source: 'api',
    method: 'GET',
    path: '',
    schedule: { everyMs: 60_000 },
    query: {},
    body: null,
    graphql: null,
    records: '',
    each: '',
    id: '/id',
    updatedAt: null,
    cursor: null,
    pages: null,
    pageSize: null,
    maxPages: 10_000,
    deletes: 'none',
    maxKeys: 100_000,
  })
})

test('a connection is a token with its edges', () => {
  const pages = { kind: 'connection', at: '/data/q', size: 50 } as const
  const built = buildIngest({ kind: 'poll', source: 'api', graphql: { query: 'q' }, pages })
  expect(built).toMatchObject({
    method: 'POST',
    records: '/data/q/edges',
    each: '/node',
    pages: { kind: 'token', at: '/data/q/pageInfo/endCursor', hasMore: '/data/q/pageInfo/hasNextPage' },
    pageSize: 50,
  })
})

test.each([
  [`${POLL}, id: /id`],
  [`${POLL}, id: /id, updatedAt: /t, cron: '*/5 * * * *', zone: Europe/Berlin`],
  [
    `${POLL}, id: /id, query: { from: '{{since}}', to: '{{until}}', n: '{{size}}', o: '{{offset}}' }, ` +
      'cursor: { kind: time, at: /t, format: epoch-ms, start: 2026-01-01T00:00:00Z, lookback: 1h, window: 1d }, ' +
      'pages: { kind: offset, size: 100 }',
  ],
  [`${POLL}, id: /id, deletes: sweep, maxKeys: 10`],
  ['kind: redis-stream, source: cache, stream: clicks, field: json, from: end'],
  ["kind: redis-keyspace, source: cache, pattern: 'session:*', reconcile: 1m"],
  ['kind: kafka, source: other, topic: orders, format: registry'],
])('%s is a contract', (ingest) => {
  expect(problems(ingest)).toEqual([])
})

test.each([
  [POLL, 'a poll needs `id`'],
  [`${POLL}, updatedAt: /t`, '`updatedAt` belongs to `id`'],
  [`${POLL}, id: /id, every: 0s`, 'longer than 0'],
  [`${POLL}, id: /id, cron: 'never'`, 'no cron expression'],
  [`${POLL}, id: /id, cron: '* * * * *', zone: Mars/Base`, 'no cron expression'],
  [`${POLL}, id: /id, cron: '* * * * *', every: 1m`, 'remove `every` or `cron`'],
  [`${POLL}, id: /id, query: { a: '{{now}}' }`, '{{now}} stands for nothing'],
  [`${POLL}, id: /id, method: GET, body: {}`, 'GET has no body'],
  [`${POLL}, id: /id, cursor: { kind: time, at: /t }`, 'the cursor has no effect'],
  [`${POLL}, id: /id, query: { a: '{{since}}' }, cursor: { kind: id }`, 'needs `at`'],
  [`${POLL}, id: /id, query: { a: '{{since}}' }, cursor: { kind: id, at: /i, lookback: 1h }`, 'belongs to kind time'],
  [`${POLL}, id: /id, query: { a: '{{since}}' }, cursor: { kind: time, at: /t, start: monday }`, 'RFC 3339'],
  [`${POLL}, id: /id, query: { a: '{{since}}' }, cursor: { kind: time, at: /t, window: 1d }`, 'needs `start`'],
  [`${POLL}, id: /id, pages: { kind: token, at: /next }`, '{{page}} stands nowhere'],
  [`${POLL}, id: /id, pages: { kind: link, size: 5 }`, '{{size}} stands nowhere'],
  [`${POLL}, id: /id, deletes: sweep, query: { a: '{{since}}' }, cursor: { kind: id, at: /i }`, 'remove the cursor'],
  [`${POLL}, id: /id, items: /x`, 'unknown key `items`'],
  ['kind: redis-stream, source: cache', 'needs `stream`'],
  ['kind: kafka, source: other, topic: t, field: x', '`field` belongs to kind redis-stream'],
])('%s is refused: %s', (ingest, reason) => {
  expect(problems(ingest).join('\n')).toContain(reason)
})

test('an id has one home, and a sweep needs a key', () => {
  expect(problems(`${POLL}, id: /id`, 'eventId: /id').join()).toContain('the contract names `eventId`')
  expect(problems(POLL, 'eventId: /id')).toEqual([])
  expect(problems(`${POLL}, id: /id, deletes: sweep`, 'owner: me').join()).toContain('the contract needs `key`')
})
