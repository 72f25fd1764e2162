import { expect, test } from 'vitest'
import { type PulledView, renderPulled } from '../../src/pulled-view.ts'

const view = (changes: Partial<PulledView>): PulledView => ({
  source: 'api/things',
  kind: 'poll',
  stream: 'things',
  state: 'running',
  leads: true,
  since: '2026-01-01T00:00:00.000Z',
  lastOk: null,
  cursor: { since: 'x' },
  ...changes,
})

test('what an operator has paused or deleted is said so, with the way back, and nobody else is said to read it', () => {
  const text = renderPulled([
    view({ state: 'paused', leads: false }),
    view({ source: 'cache/clicks~2', state: 'deleted', leads: false, cursor: null }),
  ])
  expect(text).toContain('api/things is paused: `mesh sources resume api` reads on')
  expect(text).toContain('cache/clicks~2 is deleted: `mesh sources resume cache` reads it anew')
  expect(text).not.toContain('another instance')
})

test('what another instance reads is said so, and what fails has its code and its way out', () => {
  const error = { code: 'MESH_POLL_AUTH', message: 'the server answers 401', hint: 'Check the credential.' }
  const text = renderPulled([view({ leads: false, state: 'waiting' }), view({ state: 'failing', error })])
  expect(text).toContain('waiting (another instance reads it)')
  expect(text).toContain('api/things: MESH_POLL_AUTH the server answers 401')
  expect(text).toContain('Check the credential.')
  expect(text).not.toContain('mesh sources resume')
})
