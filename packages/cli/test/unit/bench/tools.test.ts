import { expect, test } from 'vitest'
import { flushRows } from '../../../../../tests/bench/bench-mesh.ts'
import { consumerRate, producerRate } from '../../../../../tests/bench/java-ceiling.ts'
import { parseOptions } from '../../../../../tests/bench/options.ts'

test('options have defaults and bounds', () => {
  expect(parseOptions([])).toEqual({
    records: 300_000,
    repeats: 3,
    jsonFile: null,
    profile: false,
    clients: false,
    freshness: null,
    latency: null,
    sources: false,
  })
  expect(parseOptions(['--records', '5000', '--repeats', '1', '--json', 'out.json', '--profile', '--clients'])).toEqual(
    {
      records: 5000,
      repeats: 1,
      jsonFile: 'out.json',
      profile: true,
      clients: true,
      freshness: null,
      latency: null,
      sources: false,
    },
  )
  expect(() => parseOptions(['--records', '10'])).toThrow('--records: 10 is not a whole number from 1000 to')
  expect(parseOptions(['--freshness', '50']).freshness).toBe(50)
  expect(parseOptions(['--sources'])).toMatchObject({ sources: true, records: 30_000 })
  expect(parseOptions(['--sources', '--records', '5000']).records).toBe(5000)
  expect(() => parseOptions(['--repeats', '1.5'])).toThrow('--repeats')
  expect(() => parseOptions(['--rekords', '5000'])).toThrow('rekords')
})

test('sinks flush several times in one backlog, and never more rows than by default', () => {
  expect(flushRows(240_000)).toEqual({ lakeSink: 10_000, warehouseSink: 30_000 })
  expect(flushRows(5_000_000)).toEqual({ lakeSink: 50_000, warehouseSink: 50_000 })
})

test("the producer tool's rate is its last summary, the steady state after the warm-up", () => {
  const output = [
    '5000 records sent, 900.0 records/sec (0.10 MB/sec), 9.0 ms avg latency, 20.0 ms max latency.',
    '10000 records sent, 1000.5 records/sec (0.11 MB/sec), 9.0 ms avg latency.',
    '5000 steady state records sent, 2000.5 records/sec (0.22 MB/sec), 4.0 ms avg latency.',
  ].join('\n')
  expect(producerRate(output)).toBe(2000.5)
  expect(() => producerRate('Exception in thread main')).toThrow('not readable: Exception')
})

test("the consumer tool's rate is that of its fetch time", () => {
  const output = [
    'start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec',
    '2026-11-23 10:00:00:000, 2026-11-23 10:00:01:000, 1.0, 1.0, 1000, 1000.0, 500, 500, 2.0, 2000.0',
  ].join('\n')
  expect(consumerRate(output)).toBe(2000)
  expect(() => consumerRate('no such topic')).toThrow('not readable: no such topic')
})
