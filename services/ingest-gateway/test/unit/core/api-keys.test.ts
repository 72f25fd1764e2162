import { describe, expect, test } from 'vitest'
import { authenticate, readApiKeys } from '../../../src/core/api-keys.ts'

const credential = (apiKey: string): { authorization: undefined; apiKey: string } => ({
  authorization: undefined,
  apiKey,
})

describe('API keys', () => {
  test.for(['nocolon', ':key', 'name:', 'bad name:key', ''])(
    '%j is no name:key pair; the text stays secret',
    (entry) => {
      expect(() => readApiKeys(['ok:key', entry])).toThrow(
        expect.objectContaining({ code: 'MESH_CONFIG_INVALID', message: 'API key 2 is not a name:key pair' }),
      )
    },
  )

  test('a name may have several keys, and a prefix of a key is none', () => {
    const keys = readApiKeys(['alice:one', 'alice:two'])
    expect(authenticate(keys, credential('one'))).toBe('alice')
    expect(authenticate(keys, credential('two'))).toBe('alice')
    for (const wrong of ['on', 'onee', 'ONE']) {
      expect(() => authenticate(keys, credential(wrong))).toThrow(
        expect.objectContaining({ code: 'MESH_AUTH_INVALID' }),
      )
    }
  })

  test('without configured keys nobody gets in', () => {
    expect(() => authenticate([], credential('x'))).toThrow(expect.objectContaining({ code: 'MESH_AUTH_INVALID' }))
  })

  test('another scheme of Authorization is no credential', () => {
    const basic = { authorization: 'Basic b25lOm9uZQ==', apiKey: undefined }
    expect(() => authenticate(readApiKeys(['a:one']), basic)).toThrow(
      expect.objectContaining({ code: 'MESH_AUTH_MISSING' }),
    )
  })
})
