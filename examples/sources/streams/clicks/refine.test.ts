import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RefineContext } from '@mesh/client/refine'
import { expect, test } from 'vitest'
import { refine } from './refine.ts'
import type { RawClick } from './types.ts'

const sample = JSON.parse(readFileSync(join(import.meta.dirname, 'samples/click.json'), 'utf8')) as RawClick
const context = { joins: {} } as unknown as RefineContext

test('a click keeps its page without the query', () => {
  expect(refine(sample, context)).toEqual({
    kind: 'ok',
    outputs: [{ record: { visitor: 'v-17', page: '/search', referrer: null, clickedAt: '2026-01-02T03:04:05.678Z' } }],
  })
})

test('a click without a time is a dead letter', () => {
  expect(refine({ ...sample, at: 'now' }, context)).toMatchObject({ kind: 'deadLetter', code: 'CLICK_TIME' })
})
