import { expect, test } from 'vitest'
import { describeStanding } from '../../src/standing.ts'

test('what stands still is told with its place and reason', () => {
  const stalled = { 'orders/v1/3': { kind: 'breaker', code: 'ORDER_ODD', share: 0.6, decided: 300 } }
  const failing = { 'orders/v2/ab': 'the joined stream customers is not applied' }
  expect(describeStanding({ failing, stalled })).toEqual([
    'orders/v2/ab cannot start: the joined stream customers is not applied',
    'orders/v1/3 stands still (breaker, code ORDER_ODD, share 0.6, decided 300)',
  ])
  expect(describeStanding({})).toEqual([])
})
