import { deadLetter, ok, type Refine } from '@mesh/client/refine'

type RawFlight = {
  readonly id: string
  readonly date: string
  readonly delay: number
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

type Flight = Omit<RawFlight, 'date'> & { readonly flightDate: string; readonly departure: string }

/** As streams/flights without its joins: every flight gives one record. */
export const refine: Refine<RawFlight, Flight> = (event) => {
  const match = /^(\d{4})\/(\d\d)\/(\d\d) (\d\d:\d\d)$/.exec(event.date)
  if (!match) return deadLetter('FLIGHT_DATE', 'date is not readable: expected yyyy/MM/dd HH:mm')
  const flightDate = `${match[1]}-${match[2]}-${match[3]}`
  return ok({
    id: event.id,
    flightDate,
    departure: `${flightDate}T${match[4]}:00`,
    delay: event.delay,
    distance: event.distance,
    origin: event.origin,
    destination: event.destination,
  })
}
