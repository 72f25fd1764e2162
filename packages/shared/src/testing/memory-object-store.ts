import { MeshError } from '../core/errors.ts'
import { checkObjectKey, compareKeys } from '../lake/object-key.ts'
import type { ObjectStore } from '../lake/object-store.ts'

export type ObjectStoreCall = 'create' | 'get' | 'getRange' | 'size' | 'list' | 'delete'

export type MemoryObjectStoreOptions = {
  /** Awaited before a call takes effect; a throw is a failure that changed nothing. */
  readonly before?: (call: ObjectStoreCall, key: string) => void | Promise<void>
  /** Awaited after it took effect; a throw is a success that the caller never hears of. */
  readonly after?: (call: ObjectStoreCall, key: string) => void | Promise<void>
}

export type MemoryObjectStore = ObjectStore & { readonly objects: ReadonlyMap<string, Uint8Array> }

/** An object store in memory, for tests. Copies bytes in and out. */
export function createMemoryObjectStore(options: MemoryObjectStoreOptions = {}): MemoryObjectStore {
  const objects = new Map<string, Uint8Array>()

  async function around<T>(call: ObjectStoreCall, key: string, effect: () => T): Promise<T> {
    if (call !== 'list') checkObjectKey(key)
    await options.before?.(call, key)
    const result = effect()
    await options.after?.(call, key)
    return result
  }

  function create(key: string, bytes: Uint8Array): 'created' | 'exists' {
    if (objects.has(key)) return 'exists'
    for (const other of objects.keys()) {
      if (other.startsWith(`${key}/`) || key.startsWith(`${other}/`)) {
        throw new MeshError('MESH_LAKE_KEY_INVALID', 'one object key is a prefix of another with /', { place: key })
      }
    }
    objects.set(key, bytes.slice())
    return 'created'
  }

  async function* list(prefix: string): AsyncGenerator<string> {
    const keys = [...objects.keys()].filter((key) => key.startsWith(prefix)).sort(compareKeys)
    yield* await around('list', prefix, () => keys)
  }

  return {
    objects,
    create: (key, bytes) => around('create', key, () => create(key, bytes)),
    get: (key) => around('get', key, () => objects.get(key)?.slice() ?? null),
    getRange: (key, start, end) => around('getRange', key, () => objects.get(key)?.slice(start, end) ?? null),
    size: (key) => around('size', key, () => objects.get(key)?.byteLength ?? null),
    list,
    delete: (key) => around('delete', key, () => void objects.delete(key)),
  }
}
