import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadStreamFolder } from '../../../src/schema/stream-folder.ts'

const field = (name: string, type: unknown) => ({ name, type })
const AVSC = JSON.stringify({
  type: 'record',
  name: 'R',
  fields: [
    field('userId', 'long'),
    field('email', ['null', 'string']),
    field('photo', 'bytes'),
    field('day', { type: 'int', logicalType: 'date' }),
    field('uid', { type: 'string', logicalType: 'uuid' }),
    field('tags', { type: 'array', items: 'string' }),
    field('address', ['null', { type: 'record', name: 'A', fields: [field('street', 'string')] }]),
  ],
})

let root: string
let folders = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mesh-privacy-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

async function load(rules: string) {
  const dir = join(root, `${folders++}`, 'streams', 'orders')
  await mkdir(dir, { recursive: true })
  const lines = ['name: orders', 'ingest: [{ kind: events }]', 'refine: { schema: refined.avsc }', 'privacy:', rules]
  await writeFile(join(dir, 'stream.yaml'), lines.join('\n'))
  await writeFile(join(dir, 'refined.avsc'), AVSC)
  return loadStreamFolder(dir)
}
const withRule = (rule: string): string => `  key: env:KEY\n  fields:\n    - ${rule}`

describe('privacy rules of a contract', () => {
  it('are fields of the refined record, their kind of protection and whose they are', async () => {
    const rules = [
      '  key: file:/run/key',
      '  fields:',
      '    - { at: /email, as: hash }',
      '    - { at: /photo, as: encrypt, subject: /userId }',
      '    - { at: /address/street, as: token, subject: /email }',
    ]
    expect((await load(rules.join('\n'))).contract.privacy).toEqual({
      key: 'file:/run/key',
      fields: [
        { at: '/email', as: 'hash', subject: null },
        { at: '/photo', as: 'encrypt', subject: '/userId' },
        { at: '/address/street', as: 'token', subject: '/email' },
      ],
    })
  })

  it.each([
    ['{ at: /day, as: hash }', 7, '/day is no plain string or bytes'],
    ['{ at: /uid, as: hash }', 7, '/uid is no plain string or bytes'],
    ['{ at: /userId, as: hash }', 7, '/userId is no plain string or bytes'],
    ['{ at: /address, as: hash }', 7, '/address is no plain string or bytes'],
    ['{ at: /tags/0, as: hash }', 7, '/tags/0: only fields of records can be pointed to'],
    ['{ at: /none, as: hash }', 7, '/none: R has no field none'],
    ['{ at: /email, as: hash, subject: /userId }', 7, '`subject` belongs to token and encrypt'],
    ['{ at: /email, as: encrypt }', 7, '`as: encrypt` needs `subject`'],
    ['{ at: /email, as: token, subject: /photo }', 7, '/photo is no string, int or long'],
    ['{ at: /email, as: token, subject: /none }', 7, '/none: R has no field none'],
    ['{ at: /email, as: rot13 }', 7, 'must be hash or token or encrypt'],
    ['{ at: /email, as: hash }\n    - { at: /email, as: hash }', 8, 'two rules are for /email'],
  ])('%s is refused by file and line', async (rule, line, reason) => {
    await expect(load(withRule(rule))).rejects.toMatchObject({
      code: 'MESH_CONTRACT_INVALID',
      message: expect.stringMatching(
        new RegExp(`^streams/orders/stream.yaml:${line}: .*${reason.replaceAll(/[/()]/g, '\\$&')}`),
      ),
    })
  })

  it('a key in the file is refused', async () => {
    await expect(load('  key: secret\n  fields: [{ at: /email, as: hash }]')).rejects.toThrow('env:NAME or file:/path')
  })
})
