import type { ObjectStore } from '../lake/object-store.ts'
import type { KeptKey, KeyStore } from './key-store.ts'

const ERASED = '.erased'
const NOTHING = new Uint8Array(0)

/**
 * Keys as objects beside the lake: `privacy/<stream>/<name>.key`, created only if the name is free, so the first writer wins; an
 * erasure is `<name>.erased`, which is written before the key is deleted and looked for after one is created. Whoever comes between
 * the two finds the mark: after both have ended there is no key.
 */
export function createObjectKeyStore(
  store: Pick<ObjectStore, 'create' | 'get' | 'size' | 'delete' | 'list'>,
): KeyStore {
  const keyOf = (stream: string, name: string): string => `privacy/${stream}/${name}.key`
  const markOf = (stream: string, name: string): string => `privacy/${stream}/${name}${ERASED}`
  const isErased = async (stream: string, name: string): Promise<boolean> =>
    (await store.size(markOf(stream, name))) !== null

  async function find(stream: string, name: string): Promise<KeptKey | null> {
    if (await isErased(stream, name)) return { kind: 'erased' }
    const wrapped = await store.get(keyOf(stream, name))
    return wrapped === null ? null : { kind: 'key', wrapped }
  }

  async function keep(stream: string, name: string, wrapped: Uint8Array): Promise<KeptKey> {
    for (;;) {
      const known = await find(stream, name)
      if (known !== null) return known
      await store.create(keyOf(stream, name), wrapped)
      if (await isErased(stream, name)) await store.delete(keyOf(stream, name))
    }
  }

  async function erase(stream: string, name: string): Promise<void> {
    await store.create(markOf(stream, name), NOTHING)
    await store.delete(keyOf(stream, name))
  }

  async function erased(stream: string): Promise<ReadonlySet<string>> {
    const prefix = `privacy/${stream}/`
    const names = new Set<string>()
    for await (const key of store.list(prefix)) {
      if (key.endsWith(ERASED)) names.add(key.slice(prefix.length, -ERASED.length))
    }
    return names
  }

  return { find, keep, erase, erased }
}
