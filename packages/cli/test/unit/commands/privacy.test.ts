import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { PrivacyRule } from '@mesh/shared/core/contract'
import { openObjectStore } from '@mesh/shared/lake/open-object-store'
import { createObjectKeyStore } from '@mesh/shared/privacy/object-key-store'
import { createProtect } from '@mesh/shared/privacy/protect'
import { masterKeys } from '@mesh/shared/privacy/seal'
import { createSubjectKeys } from '@mesh/shared/privacy/subject-keys'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CommandContext } from '../../../src/command.ts'
import { privacy } from '../../../src/commands/privacy.ts'

const SECRET = 'a secret of at least thirty-two characters'
const root = mkdtempSync(join(tmpdir(), 'mesh-privacy-'))
const lakeUrl = pathToFileURL(join(root, 'lake')).href
const RULES: PrivacyRule[] = [
  { at: '/email', as: 'encrypt', subject: '/user' },
  { at: '/note', as: 'encrypt', subject: '/user' },
]

beforeAll(() => {
  const fields = ['user', 'email', 'note'].map((name) => ({ name, type: 'string' }))
  for (const name of ['people', 'plain']) {
    const dir = join(root, 'streams', name)
    mkdirSync(dir, { recursive: true })
    writeFileSync(join(dir, 'refined.avsc'), JSON.stringify({ type: 'record', name: 'P', fields }))
    const rules =
      name === 'plain'
        ? ''
        : 'privacy:\n  key: env:KEY\n  fields: [{ at: /email, as: encrypt, subject: /user }, { at: /note, as: encrypt, subject: /user }]\n'
    writeFileSync(
      join(dir, 'stream.yaml'),
      `name: ${name}\ningest: [{ kind: events }]\nrefine: { schema: refined.avsc }\n${rules}`,
    )
  }
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** A record of the stream as the enricher writes it, by the same keys. */
async function written(user: string): Promise<{ email: string; note: string }> {
  const keys = masterKeys(SECRET, 'env:KEY')
  const store = createObjectKeyStore(openObjectStore({ url: lakeUrl }))
  const subjects = createSubjectKeys({
    stream: 'people',
    keys,
    store,
    holdMs: 1000,
    maxSubjects: 10,
    now: () => 0,
    randomBytes: (count) => new Uint8Array(count).fill(count),
  })
  await subjects.fetch(user)
  const protect = createProtect({ stream: 'people', rules: RULES, keys, subjects, onErased: () => {} })
  return protect({ user, email: `${user}@example.com`, note: 'likes 😀' }) as { email: string; note: string }
}

/** What the command prints, or the code of its error. */
async function run(args: readonly string[], { yes = false, secret = SECRET } = {}): Promise<string> {
  const printed: string[] = []
  const context = {
    positionals: args,
    json: false,
    env: {
      MESH_KAFKA_BROKERS: '127.0.0.1:1',
      MESH_REGISTRY_URL: 'http://127.0.0.1:1',
      MESH_LAKE_URL: lakeUrl,
      MESH_WAREHOUSE_URL: 'duckdb:///dev/null',
      MESH_SERVICE_URLS: 'replayer=http://127.0.0.1:1,ingest-gateway=http://127.0.0.1:1',
      KEY: secret,
    },
    projectDir: () => root,
    stateDir: () => join(root, '.mesh'),
    flag: () => yes,
    print: (text: string) => void printed.push(text),
    note: () => {},
  } as unknown as CommandContext
  try {
    const exit = await privacy.run(context)
    return `${exit} ${printed.join('\n')}`
  } catch (error) {
    if (error instanceof Error && 'code' in error) return String(error.code)
    throw error
  }
}

describe('mesh privacy', () => {
  it('reveals a value of any encrypted field', async () => {
    const { email, note } = await written('ada')
    expect(await run(['reveal', 'people', email])).toBe('0 ada@example.com')
    expect(await run(['reveal', 'people', note])).toBe('0 likes 😀')
  })

  it('erases a subject only when told twice, and then reveals nothing of it', async () => {
    const { email } = await written('bob')
    const other = await written('eve')
    expect(await run(['erase', 'people', 'bob'])).toBe('MESH_CLI_USAGE')
    expect(await run(['reveal', 'people', email])).toBe('0 bob@example.com')
    expect(await run(['erase', 'people', 'bob'], { yes: true })).toContain('destroyed')
    expect(await run(['reveal', 'people', email])).toBe('MESH_PRIVACY_ERASED')
    expect(await run(['reveal', 'people', other.email])).toBe('0 eve@example.com')
  })

  it('says what stands in the way', async () => {
    const { email } = await written('ada')
    expect(await run(['reveal', 'people', email], { secret: 'another secret of at least 32 characters' })).toBe(
      'MESH_PRIVACY_KEY',
    )
    expect(await run(['reveal', 'people', email], { secret: '' })).toBe('MESH_SECRET_MISSING')
    expect(await run(['reveal', 'people', 'ada@example.com'])).toBe('MESH_PRIVACY_NOT_SEALED')
    expect(await run(['reveal', 'plain', email])).toBe('MESH_CLI_USAGE')
    expect(await run(['reveal', 'none', email])).toBe('MESH_STREAM_UNKNOWN')
    expect(await run(['forget', 'people', 'ada'])).toBe('MESH_CLI_USAGE')
    expect(await run(['erase', 'people'])).toBe('MESH_CLI_USAGE')
  })
})
