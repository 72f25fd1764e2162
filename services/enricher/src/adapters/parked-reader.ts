import { MeshError } from '@mesh/shared/core/errors'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { Source } from '../core/arrival.ts'
import { readParked } from '../core/parked-state.ts'
import type { ParkingContext } from '../worker-context.ts'

/** Most offsets that one read of the state topic goes over; what lies further is read the next time. */
const MAX_SPAN = 20_000

/** Reads parked records back from the state topic, the earliest of those asked for first: not all of them need come. */
export function createParkedReader(kafka: Pick<KafkaPort, 'readRanges'>, topic: string): ParkingContext['read'] {
  return async function readParkedRecords(partition, stateOffsets) {
    const first = Math.min(...stateOffsets)
    const wanted = new Set(stateOffsets.filter((offset) => offset < first + MAX_SPAN))
    const range = { partition, from: first, to: Math.max(...wanted) + 1 }
    const sources: Source[] = []
    await kafka.readRanges(topic, [range], ({ records }) => {
      for (const record of records) if (wanted.has(record.offset)) sources.push(readParked(record))
    })
    if (sources.length < wanted.size) {
      throw new MeshError('MESH_REFINE_STATE_LOST', `${wanted.size - sources.length} parked records are gone`, {
        place: `${topic}/${partition}@${first}`,
      })
    }
    return sources
  }
}
