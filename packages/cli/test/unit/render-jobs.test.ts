import type { JobView, Run, StreamingState } from '@mesh/shared/core/runs'
import { expect, test } from 'vitest'
import { jobState } from '../../src/render-jobs.ts'

const STREAMS: StreamingState = { recoverFrom: null, stop: null, engineState: null, program: 'p', changed: false }

function view(open: Partial<Run>[], last: Partial<Run> | null = null): JobView {
  return { error: null, open, last } as unknown as JobView
}
const running = (streaming: Partial<StreamingState>, more: Partial<Run> = {}): JobView =>
  view([{ state: 'running', error: null, streaming: { ...STREAMS, ...streaming }, ...more }])

test.for([
  ['idle', view([])],
  ['stopped', view([], { state: 'stopped' })],
  ['streams: starting', running({})],
  ['streams: RESTARTING', running({ engineState: 'RESTARTING' })],
  ['streams: RUNNING, by a program that has changed since', running({ engineState: 'RUNNING', changed: true })],
  [
    'stopping, with a savepoint',
    running({ engineState: 'RUNNING', stop: { at: '2026-03-01T00:00:00Z', reason: 'asked' } }),
  ],
  ['waits: nobody listens', running({}, { error: { code: 'MESH_JOB_ENGINE_AWAY', message: 'nobody listens' } })],
] as const)('%s', ([text, job]) => {
  expect(jobState(job)).toBe(text)
})
