import { describe, expect, test } from 'vitest'
import { createAdmission, takeLease } from '../../../src/core/admission.ts'

const HIGH = 1_000_000

describe('admission of bytes', () => {
  test('it closes at the cap and opens again only under 80 % of it', () => {
    const admission = createAdmission(HIGH)
    expect(admission.enter(600_000)).toBe(true)
    expect(admission.enter(400_000)).toBe(true)
    expect(admission.enter(1)).toBe(false)
    admission.leave(150_000)
    expect(admission.enter(1)).toBe(false)
    admission.leave(50_000)
    expect(admission.enter(1)).toBe(true)
    expect(admission.inFlightBytes()).toBe(800_001)
  })

  test('an idle door takes a request of any size, so that none is refused for ever', () => {
    const admission = createAdmission(HIGH)
    expect(admission.enter(HIGH * 2)).toBe(true)
    expect(admission.enter(1)).toBe(false)
    admission.leave(HIGH * 2)
    expect(admission.enter(1)).toBe(true)
  })

  test('a lease gives back all it took, once', () => {
    const admission = createAdmission(HIGH)
    const lease = takeLease(admission)
    expect([lease.grow(500_000), lease.grow(400_000), lease.grow(200_000)]).toEqual([true, true, false])
    lease.release()
    lease.release()
    expect(admission.inFlightBytes()).toBe(0)
    expect(admission.isOpen()).toBe(true)
  })
})
