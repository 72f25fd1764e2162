import { deadLetter, drop, ok, type Refine } from '@mesh/client/refine'
import type { Flight, Joins, RawFlight } from './generated.ts'

export const refine: Refine<RawFlight, Flight, Joins> = (event, { joins }) => {
  if (event.distance === 0) return drop('ferry flight')
  const departure = parseLocal(event.date)
  if (!departure) return deadLetter('FLIGHT_DATE', 'date is not readable: expected yyyy/MM/dd HH:mm')
  return ok({
    id: event.id,
    flightDate: departure.slice(0, 10),
    departure,
    delay: event.delay,
    distance: event.distance,
    origin: event.origin,
    destination: event.destination,
    originCity: joins.origin?.city ?? null,
    originState: joins.origin?.state ?? null,
    destinationCity: joins.destination?.city ?? null,
    destinationState: joins.destination?.state ?? null,
  })
}

/** `2001/01/31 00:47` → `2001-01-31T00:47:00`; null for a form or a day that does not exist. */
function parseLocal(date: unknown): string | null {
  const match = typeof date === 'string' ? /^(\d{4})\/(\d\d)\/(\d\d) (\d\d:\d\d)$/.exec(date) : null
  if (!match) return null
  const local = `${match[1]}-${match[2]}-${match[3]}T${match[4]}:00`
  const time = new Date(`${local}Z`)
  return Number.isNaN(time.getTime()) || !time.toISOString().startsWith(local) ? null : local
}
