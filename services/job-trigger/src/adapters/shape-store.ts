import { newestBundle, type StreamVersions } from '@mesh/shared/core/versions'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { getBundle } from '@mesh/shared/schema/bundle'
import type { StreamShape } from '../core/commit-lineage.ts'
import { streamShape } from '../core/stream-shape.ts'

const MAX_KEPT = 200

/** Shapes of versions, from their newest bundle; each is read once. @throws MeshError MESH_LAKE_UNAVAILABLE, MESH_BUNDLE_INVALID */
export function createShapeStore(
  store: ObjectStore,
): (state: StreamVersions | undefined, version: number) => Promise<StreamShape | null> {
  const known = new Map<string, StreamShape>()
  return async function shapeOf(state, version) {
    const found = state?.versions.find((each) => each.version === version)
    if (!found || found.bundles.length === 0) return null
    const { hash } = newestBundle(found)
    const before = known.get(hash)
    if (before) return before
    const shape = streamShape(await getBundle(store, hash))
    if (known.size >= MAX_KEPT) known.clear()
    known.set(hash, shape)
    return shape
  }
}
