import { describe, expect, test } from 'vitest'
import { readEvents } from '../../../src/core/read-request.ts'

const LIMITS = { maxEvents: 10_000, maxEventBytes: 1_000_000 }
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (slice: Uint8Array | null): string => Buffer.from(slice ?? []).toString('utf8')

/** A small generator with a fixed seed (mulberry32), so that a failure can be repeated. */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

const STRINGS = ['', 'a', '],[', '{"', 'é€😀', '\\', '"', '\u0000\n', '𝄞,', '1e5']

/** JSON text with odd white space, nesting and awkward strings. */
function someJson(random: (below: number) => number, depth: number): string {
  const space = [' ', '', '\t', '', '\r\n'][random(5)]!
  const kind = random(depth > 3 ? 4 : 6)
  if (kind === 0) return ['0', '-1.50', '12345678901234567890', '1E+2'][random(4)]!
  if (kind === 1) return ['true', 'false', 'null'][random(3)]!
  if (kind <= 3) return JSON.stringify(STRINGS[random(STRINGS.length)])
  const parts = Array.from({ length: random(4) }, () => someJson(random, depth + 1))
  if (kind === 4) return `[${space}${parts.join(`${space},`)}${space}]`
  return `{${parts.map((part, i) => `"k${i % 2}"${space}:${space}${part}`).join(`,${space}`)}${space}}`
}

describe('splitting a body', () => {
  test('the slices of an array, joined again, are the same array, byte for byte per element', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = randomOf(seed)
      const elements = Array.from({ length: 1 + random(6) }, () => someJson(random, 0))
      const body = ` [ ${elements.join(' ,\n')}\t] `
      const { events, isBatch } = readEvents(bytes(body), 'json', LIMITS)
      expect(isBatch).toBe(true)
      expect(events.map((e) => text(e.bytes))).toEqual(elements)
      expect(JSON.parse(`[${events.map((e) => text(e.bytes)).join(',')}]`)).toEqual(JSON.parse(body))
    }
  })

  test('the slices of NDJSON are its lines, byte for byte', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = randomOf(seed)
      const lines = Array.from({ length: 1 + random(6) }, () => someJson(random, 0).replaceAll(/[\r\n]/g, ''))
      const { events } = readEvents(bytes(lines.join(seed % 2 ? '\n' : '\r\n\n')), 'ndjson', LIMITS)
      expect(events.map((e) => text(e.bytes))).toEqual(lines)
    }
  })

  test('slices are views: a body is held once', () => {
    const body = bytes('[{"a":1},{"b":2}]')
    for (const event of readEvents(body, 'json', LIMITS).events) expect(event.bytes?.buffer).toBe(body.buffer)
  })

  test('a body cut anywhere is refused as a whole, with its place', () => {
    const body = '[{"a":"é"},{"b":[1,2.5e1]}]'
    for (let end = 1; end < body.length; end++) {
      expect(() => readEvents(bytes(body.slice(0, end)), 'json', LIMITS)).toThrow(
        expect.objectContaining({ code: 'MESH_EVENT_JSON', message: expect.stringMatching(/line 1, column \d+/) }),
      )
    }
  })

  test('a byte order mark belongs to no event', () => {
    const { events, isBatch } = readEvents(bytes('\uFEFF[1]'), 'json', LIMITS)
    expect([isBatch, text(events[0]!.bytes)]).toEqual([true, '1'])
  })
})
