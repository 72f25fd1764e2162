import { deadLetter, ok, type Refine } from '@mesh/client/refine'
import type { Earthquake, RawEarthquake } from './types.ts'

export const refine: Refine<RawEarthquake, Earthquake> = ({ id, properties, geometry }) => {
  const [longitude, latitude, depth] = geometry?.coordinates ?? []
  if (typeof longitude !== 'number' || typeof latitude !== 'number') {
    return deadLetter('EARTHQUAKE_POSITION', 'the report has no position')
  }
  return ok({
    id,
    magnitude: properties.mag ?? null,
    magnitudeType: properties.magType ?? null,
    place: properties.place ?? null,
    occurredAt: new Date(properties.time).toISOString(),
    updatedAt: new Date(properties.updated).toISOString(),
    latitude,
    longitude,
    depthKm: depth ?? null,
    status: properties.status,
    tsunami: properties.tsunami === 1,
    kind: properties.type,
  })
}
