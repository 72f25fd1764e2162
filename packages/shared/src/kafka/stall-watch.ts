import { MeshError } from '../core/errors.ts'

/** Finds work that does not end. Heartbeats go on while a handler works, so a group never expels one that is stuck. */
export type StallWatch = {
  /** Runs a piece of work under the watch. */
  watch<T>(place: string, work: () => Promise<T>): Promise<T>
  /** The error of a piece that has run for too long, or null. */
  stalled(): MeshError | null
}

export function createStallWatch(stallMs: number, now: () => number): StallWatch {
  const running = new Set<{ readonly place: string; readonly since: number }>()
  return {
    async watch(place, work) {
      const piece = { place, since: now() }
      running.add(piece)
      try {
        return await work()
      } finally {
        running.delete(piece)
      }
    },
    stalled() {
      for (const { place, since } of running) {
        if (now() - since > stallMs)
          return new MeshError('MESH_KAFKA_FATAL', `a handler has been stuck for ${stallMs / 1000} s`, { place })
      }
      return null
    },
  }
}
