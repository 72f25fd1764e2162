import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freezeBundle, getBundle, loadRefine, putBundle } from '../../../src/schema/bundle.ts'
import type { Bundle } from '../../../src/schema/port.ts'
import { loadStreamFolder } from '../../../src/schema/stream-folder.ts'
import { createMemoryObjectStore } from '../../../src/testing/memory-object-store.ts'

const YAML = 'name: orders\ningest: [{ kind: events }]\nrefine: { schema: refined.avsc }\n'
const AVSC = '{ "type": "record", "name": "R", "fields": [{ "name": "a", "type": "long" }] }'
const REFINE = `import { ok, type Refine } from '@mesh/client/refine'
import { twice } from './twice.ts'
export const refine: Refine<{ a: number }> = (event) => ok({ a: twice(event.a) })
`
const FILES = {
  'stream.yaml': YAML,
  'refined.avsc': AVSC,
  'refine.ts': REFINE,
  'twice.ts': 'export const twice = (n: number): number => n * 2\n',
}

let root: string
let places = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mesh-bundle-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

async function freeze(changed: Readonly<Record<string, string | null>> = {}): Promise<Bundle> {
  const dir = join(root, `place-${places++}`, 'deep'.repeat(places % 3), 'streams', 'orders')
  await mkdir(dir, { recursive: true })
  for (const [name, text] of Object.entries({ ...FILES, ...changed })) {
    if (text !== null) await writeFile(join(dir, name), text)
  }
  return freezeBundle(await loadStreamFolder(dir))
}

const event = { a: 21 }
const context = {
  record: {
    key: null,
    headers: {},
    coordinate: { topicId: 'T', partition: 0, offset: 0 },
    eventId: 'e',
    eventTime: '',
    receivedAt: '',
  },
  joins: {},
}

describe('freezing a folder', () => {
  it('gives the same hash on any path, and no path in the code', async () => {
    const [one, other] = [await freeze(), await freeze()]
    expect(other.hash).toBe(one.hash)
    expect(Buffer.from(one.files.get('refine.mjs')!).toString()).not.toContain(root)
  })

  it('changes the code hash with the code, an imported file, the schema or the contract, and only then', async () => {
    const original = await freeze()
    const changes = {
      'refine.ts': REFINE.replace('ok({', 'ok({ b: 1,'),
      'twice.ts': 'export const twice = (n: number): number => n * 3\n',
      'refined.avsc': AVSC.replace('long', 'int'),
      'stream.yaml': `${YAML}key: /a\n`,
    }
    for (const [name, text] of Object.entries(changes)) {
      const changed = await freeze({ [name]: text })
      expect([name, changed.codeHash]).not.toEqual([name, original.codeHash])
      expect(changed.hash).not.toBe(original.hash)
      expect(changed.contractHash === original.contractHash).toBe(name !== 'stream.yaml')
    }
    const reformatted = await freeze({
      'refined.avsc': AVSC.replaceAll(' ', ''),
      'stream.yaml': `# a comment\n${YAML}`,
    })
    expect(reformatted.codeHash).toBe(original.codeHash)
    expect(reformatted.contractHash).toBe(original.contractHash)
  })

  it('does not read a tsconfig that lies near', async () => {
    // With this option esbuild would compile the class field to an assignment.
    const code = { 'twice.ts': 'class Two { factor = 2 }\nexport const twice = (n: number) => n * new Two().factor\n' }
    const plain = await freeze(code)
    const tsconfig = '{"compilerOptions":{"useDefineForClassFields":false}}'
    expect((await freeze({ ...code, 'tsconfig.json': tsconfig })).hash).toBe(plain.hash)
  })

  it('holds the sources, and works without refine.ts', async () => {
    expect([...(await freeze()).files.keys()]).toEqual([
      'contract.json',
      'refine.mjs',
      'refined.avsc',
      'source/refine.ts',
      'source/refined.avsc',
      'source/stream.yaml',
      'source/twice.ts',
    ])
    const plain = await freeze({ 'refine.ts': null })
    expect(plain.files.has('refine.mjs')).toBe(false)
    expect(await loadRefine(plain, join(root, 'cache'))).toBeNull()
  })

  it.each([
    ['export const refine = (event) => {', 'orders/refine.ts:1', 'end of file'],
    ["import { x } from './missing.ts'\nexport const refine = () => x", 'orders/refine.ts:1', './missing.ts'],
    [
      "import { ok } from '@mesh/client/refine'\nimport 'node:fs'\nexport const refine = ok",
      'orders/refine.ts:2',
      'node:fs',
    ],
    ['export const refined = 1', 'orders/refine.ts:1', 'does not export `refine`'],
    ['export const refine = 1', 'orders/refine.ts', 'not a function'],
    ['throw new Error("boom")\nexport const refine = () => 1', 'orders/refine.ts', 'loading it failed'],
  ])('refuses %j with its place', async (text, place, reason) => {
    const frozen = freeze({ 'refine.ts': text })
    await expect(frozen).rejects.toMatchObject({
      code: 'MESH_CONTRACT_REFINE',
      place: expect.stringContaining(place),
      message: expect.stringContaining(reason),
    })
  })
})

describe('a stored bundle', () => {
  it('comes back as it was, and runs', async () => {
    const store = createMemoryObjectStore()
    const bundle = await freeze()
    await putBundle(store, bundle)
    const read = await getBundle(store, bundle.hash)
    expect(read).toEqual(bundle)
    const refine = await loadRefine(read, join(root, 'cache'))
    expect(refine!(event, context)).toEqual({ kind: 'ok', outputs: [{ record: { a: 42 } }] })
    expect(await loadRefine(read, join(root, 'cache'))).toBe(refine)
  })

  it('can be put again, also after a put that stopped half way', async () => {
    const bundle = await freeze()
    let calls = 0
    const store = createMemoryObjectStore({
      before: () => {
        if (++calls === 3) throw new Error('the store is away')
      },
    })
    await expect(putBundle(store, bundle)).rejects.toThrow('away')
    await expect(getBundle(store, bundle.hash)).rejects.toMatchObject({ code: 'MESH_BUNDLE_INVALID' })
    await putBundle(store, bundle)
    await putBundle(store, bundle)
    expect((await getBundle(store, bundle.hash)).hash).toBe(bundle.hash)
  })

  it('is complete only with its manifest, which is written last', async () => {
    const keys: string[] = []
    const store = createMemoryObjectStore({ before: (_call, key) => void keys.push(key) })
    const bundle = await freeze()
    await putBundle(store, bundle)
    expect(keys.at(-1)).toBe(`bundles/${bundle.hash}/manifest.json`)
  })

  it.each(['refine.mjs', 'contract.json', 'manifest.json'])('is refused when %s is damaged', async (name) => {
    const store = createMemoryObjectStore()
    const bundle = await freeze()
    await putBundle(store, bundle)
    const key = `bundles/${bundle.hash}/${name}`
    await store.delete(key)
    await store.create(key, Buffer.from('{'))
    await expect(getBundle(store, bundle.hash)).rejects.toMatchObject({ code: 'MESH_BUNDLE_INVALID' })
  })
})
