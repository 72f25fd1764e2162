import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runRefine } from '@mesh/client/testing'
import { describe, expect, it } from 'vitest'
import type { RawFlight } from './generated.ts'

const flight = JSON.parse(readFileSync(join(import.meta.dirname, 'samples/flight.json'), 'utf8')) as RawFlight
const place = { name: '', country: 'USA', latitude: 0, longitude: 0 }
const airports = {
  DTW: { ...place, iata: 'DTW', city: 'Detroit', state: 'MI' },
  LAS: { ...place, iata: 'LAS', city: 'Las Vegas', state: 'NV' },
}
const refine = (samples: readonly unknown[], joins = { airports }) =>
  runRefine({ folder: import.meta.dirname, samples, joins })

describe('flights', () => {
  it('adds date, departure and both cities; an airport has its flights in order', async () => {
    expect(await refine([flight])).toMatchObject([
      {
        kind: 'ok',
        eventId: 'sample-1',
        eventTime: '2001-01-01T00:47:00-06:00',
        records: [
          {
            key: 'DTW',
            record: {
              id: 'sample-1',
              flightDate: '2001-01-01',
              departure: '2001-01-01T00:47:00.000',
              delay: 66,
              distance: 1750,
              origin: 'DTW',
              destination: 'LAS',
              originCity: 'Detroit',
              originState: 'MI',
              destinationCity: 'Las Vegas',
              destinationState: 'NV',
            },
          },
        ],
      },
    ])
  })

  it('leaves the city of an unknown airport open', async () => {
    const [result] = await refine([{ ...flight, origin: 'XXX', destination: 'YYY' }])
    expect(result).toMatchObject({ records: [{ record: { originCity: null, destinationState: null } }] })
  })

  it('drops ferry flights', async () => {
    expect(await refine([{ ...flight, distance: 0 }])).toMatchObject([{ kind: 'drop', reason: 'ferry flight' }])
  })

  it.each(['2001/02/29 00:00', '2001/01/01 24:00', '2001-01-01 00:00', '', 20010101])(
    'dead-letters the date %j',
    async (date) => {
      expect(await refine([{ ...flight, date }])).toMatchObject([{ kind: 'deadLetter', code: 'FLIGHT_DATE' }])
    },
  )

  it('has a key and an id, or is refused at the door', async () => {
    const { origin: _, ...keyless } = flight
    const { id: __, ...nameless } = flight
    expect(await refine([keyless, nameless])).toMatchObject([
      { kind: 'refused', code: 'MESH_EVENT_KEY' },
      { kind: 'refused', code: 'MESH_EVENT_ID' },
    ])
  })
})
