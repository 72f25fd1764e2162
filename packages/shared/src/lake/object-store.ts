/** Immutable objects under keys. No key is a prefix of another with `/`. Keys: `a/b/c.ext`, no leading slash. */
export interface ObjectStore {
  /** Creates the object only if the key is free. Durable on return. `exists` = somebody's object is there, untouched. */
  create(key: string, bytes: Uint8Array): Promise<'created' | 'exists'>
  /** @throws MeshError MESH_LAKE_UNAVAILABLE; null when there is no such object. */
  get(key: string): Promise<Uint8Array | null>
  /** Bytes [start, end) of an object; null when there is no such object. */
  getRange(key: string, start: number, end: number): Promise<Uint8Array | null>
  /** Size in bytes, null when absent. */
  size(key: string): Promise<number | null>
  /** Keys under a prefix, in order of bytes. */
  list(prefix: string): AsyncIterable<string>
  /** Idempotent. Only for projections and tests; chain objects are never deleted by the sinks. */
  delete(key: string): Promise<void>
}
