import { deadLetter, ok, type Refine } from '@mesh/client/refine'
import type { Airport, RawAirport } from './generated.ts'

export const refine: Refine<RawAirport, Airport> = (event) => {
  const latitude = degrees(event.latitude, 90)
  const longitude = degrees(event.longitude, 180)
  if (latitude === null || longitude === null) {
    return deadLetter('AIRPORT_POSITION', 'latitude or longitude is missing or out of range')
  }
  return ok({
    iata: event.iata,
    name: event.name,
    city: known(event.city),
    state: known(event.state),
    country: known(event.country),
    latitude,
    longitude,
  })
}

/** CSV exports carry numbers as text. */
function degrees(value: number | string | null | undefined, limit: number): number | null {
  if (value === null || value === undefined || value === '') return null
  const number = Number(value)
  return Math.abs(number) <= limit ? number : null
}

function known(value: string | null | undefined): string | null {
  return value === undefined || value === null || value === '' || value === 'NA' ? null : value
}
