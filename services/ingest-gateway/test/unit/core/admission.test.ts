import { describe, expect, test } from 'vitest'
import { createAdmission, takeLease } from '../../../src/core/admission.ts'

describe('admission of bytes', () => {
  test('above 75 % it closes to new requests, under 60 % it opens again', () => {
    const admission = createAdmission(1000)
    expect([admission.take(750), admission.isOpen()]).toEqual([true, true])
    expect([admission.take(1), admission.isOpen()]).toEqual([true, false])
    admission.give(150)
    expect(admission.isOpen()).toBe(false)
    admission.give(1)
    expect([admission.inFlightBytes(), admission.isOpen()]).toEqual([600, true])
  })

  test('behind a closed door requests that were let in go on, up to the bound and never beyond', () => {
    const admission = createAdmission(1000)
    expect([admission.take(900), admission.take(100), admission.take(1)]).toEqual([true, true, false])
    expect(admission.inFlightBytes()).toBe(1000)
  })

  test('a lease gives back all it took, once', () => {
    const admission = createAdmission(1000)
    const lease = takeLease(admission)
    expect([lease.grow(500), lease.grow(400), lease.grow(200)]).toEqual([true, true, false])
    lease.release()
    lease.release()
    expect([admission.inFlightBytes(), admission.isOpen()]).toEqual([0, true])
  })
})
