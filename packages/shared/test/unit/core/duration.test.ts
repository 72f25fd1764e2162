import { describe, expect, it } from 'vitest'
import { formatDuration, parseDuration } from '../../../src/core/duration.ts'

describe('durations', () => {
  it.each([
    ['7d', 604_800_000],
    ['12h', 43_200_000],
    ['30m', 1_800_000],
    ['10s', 10_000],
    ['500ms', 500],
    ['0s', 0],
  ])('reads %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms)
  })

  it.each(['7', 'd', '-1d', '1.5h', '7 d', '7D', '1w', '999999999999d'])('refuses %j', (text) => {
    expect(parseDuration(text)).toBeNull()
  })

  it('writes the shortest exact form', () => {
    expect([604_800_000, 90_000, 1500, 0].map(formatDuration)).toEqual(['7d', '90s', '1500ms', '0ms'])
  })
})
