import { expect, test } from 'vitest'
import { declaredProblems, declaredSources } from '../../../src/lineage/declared-sources.ts'

const avsc = (...fields: object[]): string => JSON.stringify({ type: 'record', name: 'R', fields })
const joins = [{ stream: 'airports', as: 'origin', on: '/origin', onMissing: 'null' }] as const

test('a field says where it is from: pointers into the event, fields of joined records', () => {
  const text = avsc(
    { name: 'day', type: 'string', from: '/date' },
    { name: 'city', type: 'string', from: ['origin#city', '/city'] },
    { name: 'delay', type: 'int' },
  )
  expect([...declaredSources(text, joins, true)]).toEqual([
    ['day', [{ stream: null, field: '/date' }]],
    [
      'city',
      [
        { stream: 'airports', field: 'city' },
        { stream: null, field: '/city' },
      ],
    ],
  ])
  // Without refine.ts the event is the record.
  expect(declaredSources(text, joins, false).get('delay')).toEqual([{ stream: null, field: '/delay' }])
})

test('a source that names nothing is refused', () => {
  const field = (from: unknown): object => ({ name: 'a', type: 'int', from })
  expect(declaredProblems(avsc(field('/a'), field(['origin#x', '/b/0'])), ['origin'])).toEqual([])
  for (const from of ['date', '', 3, 'other#x', 'origin#', '/~2', ['/a', 'b']]) {
    expect(declaredProblems(avsc(field(from)), ['origin'])).toEqual([expect.stringContaining('field a: from')])
  }
})
