import { describe, expect, it } from 'vitest'
import { uuidV7 } from '../../../src/core/uuid-v7.ts'

describe('uuidV7', () => {
  it('holds the time, version and variant', () => {
    // RFC 9562, appendix A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F
    const random = new Uint8Array([0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f])
    expect(uuidV7(0x017f22e279b0, random)).toBe('017f22e2-79b0-7cc3-98c4-dc0c0c07398f')
  })

  it('sets version and variant over any random bits', () => {
    expect(uuidV7(0, new Uint8Array(10))).toBe('00000000-0000-7000-8000-000000000000')
    expect(uuidV7(0, new Uint8Array(10).fill(255))).toBe('00000000-0000-7fff-bfff-ffffffffffff')
  })

  it('sorts by time', () => {
    const ids = [1, 255, 256, 1_700_000_000_000].map((ms) => uuidV7(ms, new Uint8Array(10).fill(255)))
    expect(ids.toSorted()).toEqual(ids)
  })
})
