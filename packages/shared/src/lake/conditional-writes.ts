import { MeshError } from '../core/errors.ts'
import type { ObjectStore } from './object-store.ts'

const RACERS = 8

/**
 * Proves that the store lets one writer win: servers exist that accept the condition and ignore it. `id` names this probe's own
 * object, which is removed afterwards.
 * @throws MeshError MESH_LAKE_STORE_UNSAFE, MESH_LAKE_UNAVAILABLE
 */
export async function probeConditionalWrites(store: ObjectStore, id: string): Promise<void> {
  const key = `probes/${id}`
  const bodies = Array.from({ length: RACERS }, (_, i) => Buffer.from(`racer ${i} of ${id}`))
  try {
    const outcomes = await Promise.all(bodies.map((body) => store.create(key, body)))
    const winner = outcomes.indexOf('created')
    const late = await store.create(key, Buffer.from(`late ${id}`))
    const kept = await store.get(key)
    const winners = outcomes.filter((outcome) => outcome === 'created').length + (late === 'created' ? 1 : 0)
    if (winners !== 1 || !kept || !bodies[winner]?.equals(kept)) {
      throw new MeshError(
        'MESH_LAKE_STORE_UNSAFE',
        `${winners} of ${RACERS + 1} create-only writes of one key succeeded`,
      )
    }
  } finally {
    await store.delete(key)
  }
}
