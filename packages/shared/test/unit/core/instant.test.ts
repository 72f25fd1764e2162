import { describe, expect, it } from 'vitest'
import { formatDay, formatInstant, parseDay, parseInstant } from '../../../src/core/instant.ts'
import { compileFormat, isTimeZone, parseLocalTime } from '../../../src/core/zoned-time.ts'

describe('instants', () => {
  it('agree with Date over four thousand years', () => {
    for (let ms = Date.UTC(-100, 0, 1); ms < Date.UTC(4000, 0, 1); ms += 86_400_000 * 97 + 12_345_678) {
      const text = new Date(ms).toISOString()
      expect(formatInstant(ms)).toBe(text)
      expect(parseInstant(text)).toEqual({ epochMs: ms, nanos: 0, offset: 'Z' })
    }
  })

  it('are read by their places only where each of them holds what it should', () => {
    const text = '2024-02-29T23:59:59.123Z'
    const read = parseInstant(text)
    expect(read).toEqual({ epochMs: Date.parse(text), nanos: 0, offset: 'Z' })
    for (let at = 0; at < text.length; at++) {
      expect(parseInstant(`${text.slice(0, at)}x${text.slice(at + 1)}`), `place ${at}`).toBeNull()
      expect(parseInstant(text)).toEqual(read)
    }
  })

  it('keep what is below a millisecond', () => {
    expect(parseInstant('2020-01-01T00:00:00.123456789Z')).toMatchObject({ nanos: 456_789 })
    expect(formatInstant(Date.UTC(2020, 0, 1), 456_789, 9)).toBe('2020-01-01T00:00:00.000456789Z')
    expect(formatInstant(-1, 500_000, 6)).toBe('1969-12-31T23:59:59.999500Z')
  })

  it('have a text beyond the range of Date', () => {
    const days = 4_000_000_000
    expect(parseDay(formatDay(days))).toBe(days)
    expect(formatDay(-719_529)).toBe('-000001-12-31')
  })

  it.each([
    '2020-13-01T00:00:00Z',
    '2019-02-29T00:00:00Z',
    '2020-01-01T00:60:00Z',
    '2020-01-01T00:00:00+24:00',
    '2020-01-01',
  ])('refuse %s', (text) => {
    expect(parseInstant(text)).toBeNull()
  })
})

describe('local formats', () => {
  it('take seconds, fractions, quotes and signs', () => {
    const format = compileFormat("dd.MM.yyyy 'at' HH:mm:ss,SSS")!
    expect(parseLocalTime('31.12.1999 at 23:59:59,250', format, 'Asia/Kolkata')).toBe('1999-12-31T23:59:59.250+05:30')
    expect(parseLocalTime('31x12.1999 at 23:59:59,250', format, 'Asia/Kolkata')).toBeNull()
  })

  it.each(['yyyy', 'yyyy-MM-dd hh:mm', 'YYYY-MM-dd', "yyyy-MM-dd 'x", 'yyyy-MM-dd dd', ''])('refuse %j', (format) => {
    expect(compileFormat(format)).toBeNull()
  })

  it('know IANA zones', () => {
    expect([isTimeZone('Europe/Zurich'), isTimeZone('Mars/Base')]).toEqual([true, false])
  })
})
