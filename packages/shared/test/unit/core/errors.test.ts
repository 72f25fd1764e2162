import { describe, expect, it } from 'vitest'
import { ERRORS } from '../../../src/core/error-codes.ts'
import { describeError, MeshError } from '../../../src/core/errors.ts'

describe('the table of errors', () => {
  it.each(Object.entries(ERRORS))(
    '%s has a code of form, a hint that is a sentence and an HTTP status',
    (code, error) => {
      expect(code).toMatch(/^MESH_[A-Z]+_[A-Z_]+$|^MESH_INTERNAL$/)
      expect(error.hint).toMatch(/^(?:[A-Z]|refine\.ts ).*\.$/)
      expect(error.status).toBeGreaterThanOrEqual(400)
      expect(error.status).toBeLessThan(600)
    },
  )
})

describe('MeshError', () => {
  it('brings hint and status from the table', () => {
    const error = new MeshError('MESH_EVENT_KEY', 'no key', { place: 'orders' })
    expect([error.status, error.place, error.hint]).toEqual([422, 'orders', ERRORS.MESH_EVENT_KEY.hint])
  })

  it('is described in one line with its causes', () => {
    const cause = new Error('disk full', { cause: 'ENOSPC' })
    const error = new MeshError('MESH_LAKE_UNAVAILABLE', 'writing a/b', { cause, place: 'lake' })
    expect(describeError(error)).toBe('MESH_LAKE_UNAVAILABLE writing a/b (lake): disk full: ENOSPC')
    expect(describeError('text')).toBe('text')
  })
})
