import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { probeConditionalWrites } from '../../../src/lake/conditional-writes.ts'
import { createFolderObjectStore } from '../../../src/lake/folder-object-store.ts'
import { lakeLocation, openObjectStore } from '../../../src/lake/open-object-store.ts'
import { createMemoryObjectStore } from '../../../src/testing/memory-object-store.ts'
import { describeObjectStore, keysUnder } from '../../../src/testing/object-store-contract.ts'

const folders: string[] = []
async function folder(): Promise<string> {
  const made = await mkdtemp(path.join(tmpdir(), 'mesh-lake-'))
  folders.push(made)
  return made
}
afterEach(async () => {
  for (const made of folders.splice(0)) await rm(made, { recursive: true, force: true })
})

describeObjectStore('memory', async () => ({ store: createMemoryObjectStore(), close: async () => {} }))
describeObjectStore('folder', async () => {
  const root = await mkdtemp(path.join(tmpdir(), 'mesh-lake-'))
  return { store: createFolderObjectStore(root), close: () => rm(root, { recursive: true, force: true }) }
})

describe('folder object store', () => {
  it('refuses a key that extends another with a slash, either way round', async () => {
    for (const store of [createFolderObjectStore(await folder()), createMemoryObjectStore()]) {
      await store.create('a/b', Buffer.from('x'))
      await store.create('c/d/e', Buffer.from('x'))
      await expect(store.create('a/b/c', Buffer.from('x'))).rejects.toMatchObject({ code: 'MESH_LAKE_KEY_INVALID' })
      await expect(store.create('c/d', Buffer.from('x'))).rejects.toMatchObject({ code: 'MESH_LAKE_KEY_INVALID' })
      expect(await store.get('c/d')).toBeNull()
      expect(await store.get('a/b/c')).toBeNull()
    }
  })

  it('leaves no temporary file behind, and removes those of writers that died', async () => {
    const root = await folder()
    await mkdir(path.join(root, '.tmp'))
    await writeFile(path.join(root, '.tmp', 'dead'), 'x')
    await utimes(path.join(root, '.tmp', 'dead'), new Date(0), new Date(0))
    await writeFile(path.join(root, '.tmp', 'alive'), 'x')
    const store = createFolderObjectStore(root)
    await store.create('a/b', Buffer.from('x'))
    await store.create('a/b', Buffer.from('y'))
    expect(await readdir(path.join(root, '.tmp'))).toEqual(['alive'])
    expect(await keysUnder(store, '')).toEqual(['a/b'])
  })

  it('lets one of many stores on one folder win', async () => {
    const root = await folder()
    const stores = Array.from({ length: 8 }, () => createFolderObjectStore(root))
    for (let round = 0; round < 10; round++) {
      const outcomes = await Promise.all(stores.map((store, i) => store.create(`race/${round}`, Buffer.from(`${i}`))))
      expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1)
    }
  })

  it('creates or finds, whoever deletes the object meanwhile', async () => {
    const store = createFolderObjectStore(await folder())
    let ended = false
    const deleting = (async () => {
      while (!ended) await store.delete('a/b')
    })()
    const creators = Array.from({ length: 4 }, async () => {
      for (let round = 0; round < 150; round++) {
        expect(['created', 'exists']).toContain(await store.create('a/b', Buffer.from('x')))
      }
    })
    await Promise.all(creators).finally(() => (ended = true))
    await deleting
  })

  it('reports a folder it cannot write to as the lake being unavailable', async () => {
    const root = await folder()
    await writeFile(path.join(root, 'file'), 'x')
    const store = createFolderObjectStore(path.join(root, 'file', 'lake'))
    await expect(store.create('a/b', Buffer.from('x'))).rejects.toMatchObject({ code: 'MESH_LAKE_UNAVAILABLE' })
  })
})

describe('openObjectStore', () => {
  it('opens a folder by its file address', async () => {
    const root = await folder()
    const store = openObjectStore({ url: pathToFileURL(path.join(root, 'with space')).href })
    await store.create('a/b', Buffer.from('x'))
    expect(await readdir(path.join(root, 'with space', 'a'))).toEqual(['b'])
  })

  it('refuses other addresses, and S3 without a region', () => {
    for (const url of ['', '/folder', 'file://host/folder', 'http://a/b', 's3://', 's3://bucket/prefix']) {
      expect(() => openObjectStore({ url })).toThrow(expect.objectContaining({ code: 'MESH_CONFIG_INVALID' }))
    }
  })
})

describe('lakeLocation', () => {
  const none = { s3Endpoint: null, s3AccessKeyId: null, s3SecretAccessKey: null }

  it('takes the address and only what is set of S3', () => {
    const settings = { lakeUrl: 's3://b', s3Region: 'eu-west-1' }
    expect(lakeLocation({ ...settings, ...none })).toEqual({ url: 's3://b', s3: { region: 'eu-west-1' } })
    const own = { s3Endpoint: 'http://h:1', s3AccessKeyId: 'id', s3SecretAccessKey: 'secret' }
    const credentials = { accessKeyId: 'id', secretAccessKey: 'secret' }
    expect(lakeLocation({ ...settings, ...own }).s3).toEqual({
      region: 'eu-west-1',
      endpoint: 'http://h:1',
      credentials,
    })
  })

  it('refuses half of the credentials', () => {
    const half = { lakeUrl: 's3://b', s3Region: 'r', ...none, s3AccessKeyId: 'id' }
    expect(() => lakeLocation(half)).toThrow(expect.objectContaining({ code: 'MESH_CONFIG_INVALID' }))
  })
})

describe('probeConditionalWrites', () => {
  it('accepts a store where one writer wins, and leaves nothing behind', async () => {
    const store = createMemoryObjectStore()
    await probeConditionalWrites(store, 'p1')
    expect(store.objects.size).toBe(0)
  })

  it('refuses a store that ignores the condition', async () => {
    const objects = new Map<string, Uint8Array>()
    const ignoring = {
      ...createMemoryObjectStore(),
      create: async (key: string, bytes: Uint8Array) => {
        objects.set(key, bytes)
        return 'created' as const
      },
      get: async (key: string) => objects.get(key) ?? null,
    }
    await expect(probeConditionalWrites(ignoring, 'p1')).rejects.toMatchObject({ code: 'MESH_LAKE_STORE_UNSAFE' })
  })
})
