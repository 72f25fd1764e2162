import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { verifyGithubSignature } from '../../../src/core/github-signature.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('GitHub signatures', () => {
  // GitHub docs, "Validating webhook deliveries", "Testing the webhook payload validation".
  test("GitHub's published vector verifies", () => {
    const signature = 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'
    expect(() => verifyGithubSignature(bytes('Hello, World!'), signature, ["It's a Secret to Everybody"])).not.toThrow()
    expect(() => verifyGithubSignature(bytes('Hello, World'), signature, ["It's a Secret to Everybody"])).toThrow(
      expect.objectContaining({ code: 'MESH_SIGNATURE_INVALID' }),
    )
  })

  test('any of several secrets may match, so that they can rotate', () => {
    const signature = `sha256=${createHmac('sha256', 'new').update('x').digest('hex')}`
    expect(() => verifyGithubSignature(bytes('x'), signature, ['old', 'new'])).not.toThrow()
    expect(() => verifyGithubSignature(bytes('x'), signature, ['new', 'old'])).not.toThrow()
    expect(() => verifyGithubSignature(bytes('x'), signature, ['old'])).toThrow()
  })

  test('bytes that are not UTF-8 verify as they are', () => {
    const body = Uint8Array.from([0xff, 0xfe, 0x00])
    const signature = `sha256=${createHmac('sha256', 's').update(body).digest('hex')}`
    expect(() => verifyGithubSignature(body, signature, ['s'])).not.toThrow()
  })

  test('without a secret, or with an empty one, it fails closed', () => {
    const signature = `sha256=${createHmac('sha256', '').update('x').digest('hex')}`
    for (const secrets of [[], ['']]) {
      expect(() => verifyGithubSignature(bytes('x'), signature, secrets)).toThrow(
        expect.objectContaining({ code: 'MESH_SECRET_MISSING' }),
      )
    }
  })

  test.for([
    [undefined, 'MESH_SIGNATURE_MISSING'],
    ['', 'MESH_SIGNATURE_MISSING'],
    ['sha256=', 'MESH_SIGNATURE_INVALID'],
    ['sha256=00', 'MESH_SIGNATURE_INVALID'],
    [`sha256=${'g'.repeat(64)}`, 'MESH_SIGNATURE_INVALID'],
    [`sha256=${'0'.repeat(64)}`, 'MESH_SIGNATURE_INVALID'],
    [`sha256=${'0'.repeat(66)}`, 'MESH_SIGNATURE_INVALID'],
    [`sha1=${'0'.repeat(40)}`, 'MESH_SIGNATURE_INVALID'],
    [createHmac('sha256', 's').update('x').digest('hex'), 'MESH_SIGNATURE_INVALID'],
  ] as const)('%s is %s', ([signature, code]) => {
    expect(() => verifyGithubSignature(bytes('x'), signature, ['s'])).toThrow(expect.objectContaining({ code }))
  })
})
