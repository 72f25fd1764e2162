import { expect, test } from 'vitest'
import { FRESH_STATE } from '../../../../src/core/poll/state.ts'
import { type Answering, NOW, parameters, specOf, turn, wholeRun } from './polling.ts'

const TIME = { kind: 'time', at: '/at', format: 'rfc3339', start: null, lookbackMs: 0, windowMs: null } as const
const DAY = 86_400_000
const day = (n: number): string => new Date(Date.UTC(2026, 0, n)).toISOString()

test('a time cursor goes to the latest event that was read, whatever their order, and a run begins lookback before it', () => {
  const spec = specOf({ query: { from: '{{since}}', to: '{{until}}' }, cursor: { ...TIME, lookbackMs: DAY } })
  const first = wholeRun(spec, FRESH_STATE, () => ({ body: [{ at: day(5) }, { at: day(7) }, { at: day(6) }] }))
  expect(parameters(first.requests[0]!)).toEqual({ to: day(10) })
  const second = wholeRun(spec, first.state, () => ({ body: [] }), NOW + DAY)
  expect(parameters(second.requests[0]!)).toEqual({ from: day(6), to: day(11) })
  expect(second.state.since).toBe(day(7))
})

test.each([
  ['rfc3339', '2026-01-07T00:00:00.123456789Z', '2026-01-07T00:00:00.123Z'],
  ['date', '2026-01-07', '2026-01-07'],
  ['epoch-s', 1_767_744_000.9, '1767744000'],
  ['epoch-ms', 1_767_744_000_123, '1767744000123'],
] as const)('times as %s begin at or before what is known', (format, at, asked) => {
  const spec = specOf({ query: { from: '{{since}}' }, cursor: { ...TIME, format } })
  const { state } = wholeRun(spec, FRESH_STATE, () => ({ body: [{ at }] }))
  const next = wholeRun(spec, state, () => ({ body: [{ at }] }))
  expect(parameters(next.requests[0]!)).toEqual({ from: asked })
})

test('windows tile from start to now, and those that are over need not be read again', () => {
  const spec = specOf({
    query: { from: '{{since}}', to: '{{until}}' },
    cursor: { ...TIME, start: day(7), windowMs: 2 * DAY },
  })
  const { requests, state } = wholeRun(spec, FRESH_STATE, () => ({ body: [] }))
  expect(requests.map(parameters)).toEqual([
    { from: day(7), to: day(9) },
    { from: day(9), to: day(10) },
  ])
  expect(state.since).toBe(day(9))
})

test('a run that is interrupted between windows goes on where it was', () => {
  const spec = specOf({
    query: { from: '{{since}}', to: '{{until}}' },
    cursor: { ...TIME, start: day(7), windowMs: DAY },
  })
  const one = turn(spec, FRESH_STATE, () => ({ body: [{ at: day(7) }] }))
  if (one.kind !== 'page') throw one.error
  const kept = JSON.parse(JSON.stringify(one.next)) as typeof one.next
  expect(kept.run).not.toBeNull()
  const rest = wholeRun(spec, kept, () => ({ body: [] }), NOW + 5000)
  expect(rest.requests.map((r) => parameters(r)['from'])).toEqual([day(8), day(9)])
})

test('events from before what was asked for stop the poll: the cursor goes backwards or is not honoured', () => {
  const spec = specOf({ query: { from: '{{since}}' }, cursor: TIME })
  const { state } = wholeRun(spec, FRESH_STATE, () => ({ body: [{ at: day(7) }] }))
  const outcome = turn(spec, state, () => ({ body: [{ at: day(6) }] }))
  expect(outcome).toMatchObject({ kind: 'failed', error: { code: 'MESH_POLL_CURSOR' } })
})

test.each([[{}], [{ at: null }], [{ at: 'yesterday' }], [{ at: 7 }]])(
  'an event without a time stops the poll: %j',
  (event) => {
    const spec = specOf({ query: { from: '{{since}}' }, cursor: TIME })
    expect(turn(spec, FRESH_STATE, () => ({ body: [event] }))).toMatchObject({ error: { code: 'MESH_POLL_CURSOR' } })
  },
)

test('an id cursor compares whole numbers as numbers, beyond 2^53 too, and other ids as text', () => {
  const spec = specOf({ query: { after: '{{since}}' }, cursor: { kind: 'id', at: '/id', start: '0' } })
  const body = '[{"id": 9007199254740993}, {"id": 99}]'
  const { state } = wholeRun(spec, FRESH_STATE, () => ({ body }))
  expect(state.since).toBe('9007199254740993')
  const texts = specOf({ query: { after: '{{since}}' }, cursor: { kind: 'id', at: '/id', start: null } })
  expect(wholeRun(texts, FRESH_STATE, () => ({ body: [{ id: 'b' }, { id: 'a10' }] })).state.since).toBe('b')
})

test('a token cursor keeps the last token of a run for the next one', () => {
  const spec = specOf({
    records: '/list',
    query: { sync: '{{since}}', page: '{{page}}' },
    cursor: { kind: 'token', at: '/sync' },
    pages: { kind: 'token', at: '/next', hasMore: null },
  })
  const answering: Answering = (request) =>
    parameters(request)['page'] === 'p2' ? { body: { list: [2], sync: 's1' } } : { body: { list: [1], next: 'p2' } }
  const first = wholeRun(spec, FRESH_STATE, answering)
  expect(first.events).toEqual([1, 2])
  const second = wholeRun(spec, first.state, () => ({ body: { list: [], sync: null } }))
  expect(parameters(second.requests[0]!)).toEqual({ sync: 's1' })
  expect(second.state.since).toBe('s1')
})

test('an offset cursor reads a growing list on', () => {
  const list = [0, 1, 2, 3, 4]
  const spec = specOf({
    query: { offset: '{{offset}}', limit: '{{size}}' },
    cursor: { kind: 'offset' },
    pages: { kind: 'offset' },
    pageSize: 2,
  })
  const answering: Answering = (request) => {
    const from = Number(parameters(request)['offset'])
    return { body: list.slice(from, from + 2) }
  }
  const first = wholeRun(spec, FRESH_STATE, answering)
  expect(first.events).toEqual([0, 1, 2, 3, 4])
  list.push(5)
  const second = wholeRun(spec, first.state, answering)
  expect(second.events).toEqual([5])
  expect(second.state.since).toBe('6')
})
