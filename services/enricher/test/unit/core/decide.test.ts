import { deadLetter, drop, ok, type Refine, tombstone } from '@mesh/client/refine'
import { addHash, refinedHash } from '@mesh/shared/core/books'
import { bytesText, header, headerText, type KafkaRecord, textBytes } from '@mesh/shared/core/record'
import { describe, expect, test } from 'vitest'
import { readArrival } from '../../../src/core/arrival.ts'
import { type Decidable, type Fate, type RefineCode, refinedFate, settledFate } from '../../../src/core/decide.ts'
import { NO_JOINS } from '../../../src/core/joins.ts'
import { problem } from '../../../src/core/problem.ts'
import { contractOf } from '../../contract.ts'

const AT = { topicId: 'raw-1', partition: 0, offset: 5 }

/** Stands in for Avro: five bytes of frame, then JSON; refuses a record with a negative `n`. */
function encode(record: unknown): Uint8Array {
  if ((record as { n: number }).n < 0) throw new Error('field n: negative')
  return textBytes(`\0\0\0\0\u0007${JSON.stringify(record)}`)
}

const codeOf = (refine: Refine | null): RefineCode => ({
  codeHash: 'code-1',
  codeHeader: header('mesh-code', 'code-1'),
  contractHash: 'contract-1',
  contract: contractOf({}),
  refine,
  encode,
})

function decidable(
  refine: Refine | null,
  changes: Partial<Decidable> = {},
  value: string | null = '{"n":1}',
): Decidable {
  const record: KafkaRecord = {
    offset: 5,
    timestamp: 1_700_000_000_000,
    key: textBytes('k'),
    value: value === null ? null : textBytes(value),
    headers: [
      header('ce_id', 'e-1'),
      header('ce_time', '2026-01-01T00:00:00Z'),
      header('mesh-src', 'forged'),
      { name: 'x', value: null },
      { name: 'x', value: new Uint8Array(0) },
    ],
  }
  const source = { at: AT, record }
  const code = codeOf(refine)
  return {
    source,
    arrival: readArrival(source, code.contract),
    code,
    duplicate: false,
    published: null,
    passed: false,
    maxOutputBytes: 10_000,
    ...changes,
  }
}

function decide(input: Decidable, joined = NO_JOINS): Fate {
  return settledFate(input) ?? refinedFate(input, joined)
}

function outputsOf(fate: Fate) {
  if (fate.kind !== 'ok') throw new Error(`expected ok, got ${JSON.stringify(fate)}`)
  return fate.records
}

describe('deciding a record', () => {
  test('an output keeps key, timestamp and headers, and gets its derived identity in place of a forged one', () => {
    const fate = decide(decidable((event) => ok(event as Record<string, unknown>)))
    const [record] = outputsOf(fate)
    expect(bytesText(record!.key!)).toBe('k')
    expect(record!.timestamp).toBe(1_700_000_000_000)
    expect(record!.headers.map((h) => [h.name, h.value === null ? null : bytesText(h.value)])).toEqual([
      ['ce_id', 'e-1'],
      ['ce_time', '2026-01-01T00:00:00Z'],
      ['x', null],
      ['x', ''],
      ['mesh-code', 'code-1'],
      ['mesh-src', 'main;raw-1;0;5;0'],
    ])
  })

  test('the hash is over identity, key and payload without its frame', () => {
    const fate = decide(decidable(() => ok({ n: 2 })))
    const src = { ...AT, lane: 'main', index: 0 }
    expect(fate).toMatchObject({ hash: refinedHash(src, textBytes('k'), textBytes('{"n":2}')) })
  })

  test('many outputs take sub keys and their position as index, in one fate', () => {
    const fate = decide(
      decidable(() =>
        ok([
          { record: { n: 1 }, subKey: 'a' },
          { record: { n: 2 }, subKey: 'b' },
        ]),
      ),
    )
    expect(outputsOf(fate).map((r) => [bytesText(r.key!), headerText(r.headers, 'mesh-src')])).toEqual([
      ['k/a', 'main;raw-1;0;5;0'],
      ['k/b', 'main;raw-1;0;5;1'],
    ])
    const hashes = [1, 2].map((n) =>
      refinedHash(
        { ...AT, lane: 'main', index: n - 1 },
        textBytes(`k/${n === 1 ? 'a' : 'b'}`),
        textBytes(`{"n":${n}}`),
      ),
    )
    expect(fate).toMatchObject({ hash: addHash(hashes[0]!, hashes[1]!) })
  })

  test('no outputs is ok, also after a later record was published', () => {
    expect(decide(decidable(() => ok<Record<string, unknown>>([]), { passed: true }))).toEqual({
      kind: 'ok',
      records: [],
      hash: 0n,
      bytes: 0,
    })
  })

  test('without refine.ts the event is the record', () => {
    expect(bytesText(outputsOf(decide(decidable(null)))[0]!.value!.subarray(5))).toBe('{"n":1}')
  })

  test('a null value stays null, without asking refine.ts', () => {
    const refine: Refine = () => {
      throw new Error('not for tombstones')
    }
    expect(outputsOf(decide(decidable(refine, {}, null)))[0]).toMatchObject({ value: null, key: textBytes('k') })
  })

  test('a tombstone outcome deletes the key or a sub key', () => {
    const keyOf = (refine: Refine) => outputsOf(decide(decidable(refine))).map((r) => [bytesText(r.key!), r.value])
    expect(keyOf(() => tombstone())).toEqual([['k', null]])
    expect(keyOf(() => tombstone({ subKey: 'a' }))).toEqual([['k/a', null]])
  })

  test('drop and dead letter are what refine.ts says', () => {
    expect(decide(decidable(() => drop('no')))).toEqual({ kind: 'drop' })
    expect(decide(decidable(() => deadLetter('TOO_ODD', 'because')))).toMatchObject({
      kind: 'deadLetter',
      problem: { code: 'TOO_ODD', message: 'because', own: false },
    })
  })

  test('a throw is a dead letter with its stack, whatever is thrown', () => {
    const thrown = (error: unknown) =>
      decide(
        decidable(() => {
          throw error
        }),
      )
    expect(thrown(new TypeError('x is undefined'))).toMatchObject({
      problem: { code: 'MESH_REFINE_THROWN', errorName: 'TypeError', message: 'x is undefined' },
    })
    expect((thrown(new Error('a')) as { problem: { stack: string } }).problem.stack).toContain('decide.test.ts')
    expect(thrown('text')).toMatchObject({ problem: { message: 'text' } })
    expect(thrown(Object.create(null))).toMatchObject({ problem: { message: 'unreadable' } })
    expect(thrown(null)).toMatchObject({ problem: { message: 'null' } })
  })

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['a bare record', { n: 1 }],
    ['outputs that are no list', { kind: 'ok', outputs: 'none' }],
    ['an output that is nothing', { kind: 'ok', outputs: [null] }],
    ['a sub key that is no text', { kind: 'ok', outputs: [{ record: { n: 1 }, subKey: 4 }] }],
  ])('%s instead of an outcome is a dead letter', (_name, outcome) => {
    expect(decide(decidable((() => outcome) as unknown as Refine))).toMatchObject({
      kind: 'deadLetter',
      problem: { code: 'MESH_REFINE_INVALID' },
    })
  })

  test('an asynchronous refine.ts is a dead letter, and its rejection ends nothing', () => {
    const refine = (() => Promise.reject(new Error('late'))) as unknown as Refine
    expect(decide(decidable(refine))).toMatchObject({
      problem: { code: 'MESH_REFINE_INVALID', message: 'refine.ts returned a promise: it must be synchronous' },
    })
  })

  test('a record that does not match the schema is a dead letter', () => {
    expect(decide(decidable(() => ok({ n: -1 })))).toMatchObject({
      problem: { code: 'MESH_REFINE_INVALID', stage: 'encode', message: 'field n: negative' },
    })
  })

  test('poison comes before duplicate, duplicate before refine', () => {
    const refine: Refine = () => {
      throw new Error('must not run')
    }
    expect(decide(decidable(refine, { duplicate: true }))).toEqual({ kind: 'duplicate' })
    expect(decide(decidable(refine, { duplicate: true }, '{'))).toMatchObject({ problem: { code: 'MESH_DECODE_JSON' } })
  })

  test('what was published is the fate, whatever the code would say now', () => {
    const published = { outputs: 3, hash: 9n }
    const refine: Refine = () => drop('changed my mind')
    expect(decide(decidable(refine, { published, duplicate: true }))).toEqual({ kind: 'published', ...published })
  })

  test('a passed record that would give an output is a dead letter; other fates stay', () => {
    const passed = { passed: true }
    expect(decide(decidable(() => ok({ n: 1 }), passed))).toMatchObject({
      problem: { code: 'MESH_REFINE_FATE_CHANGED' },
    })
    expect(decide(decidable(() => drop('x'), passed))).toEqual({ kind: 'drop' })
  })

  test('a missing joined row is a dead letter before refine.ts runs', () => {
    const joined = { ...NO_JOINS, problem: problem('join', 'MESH_JOIN_MISSING', 'no row') }
    expect(
      decide(
        decidable(() => ok({ n: 1 })),
        joined,
      ),
    ).toMatchObject({ problem: { code: 'MESH_JOIN_MISSING' } })
  })

  test('rows and the coordinates of rows reach refine.ts and the output', () => {
    const joined = {
      rows: { city: { name: 'Austin' } },
      header: 'city=main;raw-9;0;1;0',
      problem: null,
      transient: null,
    }
    const fate = decide(
      decidable((_event, { joins }) => ok({ n: 1, city: joins['city'] })),
      joined,
    )
    const [record] = outputsOf(fate)
    expect(headerText(record!.headers, 'mesh-joins')).toBe('city=main;raw-9;0;1;0')
    expect(bytesText(record!.value!)).toContain('Austin')
  })

  test('outputs too large for one record batch are a dead letter', () => {
    const fate = decide(decidable(() => ok({ n: 1, text: 'x'.repeat(20_000) })))
    expect(fate).toMatchObject({ problem: { code: 'MESH_KAFKA_RECORD_TOO_LARGE', stage: 'emit' } })
  })

  test('refine.ts sees the record it came with', () => {
    let seen: unknown
    decide(
      decidable((_event, { record }) => {
        seen = { ...record }
        return drop('seen')
      }),
    )
    expect(seen).toEqual({
      key: 'k',
      headers: { ce_id: 'e-1', ce_time: '2026-01-01T00:00:00Z', x: '' },
      coordinate: AT,
      eventId: 'e-1',
      eventTime: '2026-01-01T00:00:00Z',
      receivedAt: '2023-11-14T22:13:20.000Z',
    })
  })
})
