import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RefineContext } from '@mesh/client/refine'
import { describe, expect, it } from 'vitest'
import type { Joins, RawFlight } from './generated.ts'
import { refine } from './refine.ts'

const sample = JSON.parse(readFileSync(join(import.meta.dirname, 'samples/flight.json'), 'utf8')) as RawFlight
const joined = (joins: Joins): RefineContext<Joins> => ({ joins }) as RefineContext<Joins>
const place = { name: '', country: 'USA', latitude: 0, longitude: 0 }
const airports = joined({
  origin: { ...place, iata: 'DTW', city: 'Detroit', state: 'MI' },
  destination: { ...place, iata: 'LAS', city: 'Las Vegas', state: 'NV' },
})

describe('flights', () => {
  it('adds date, departure and both cities', () => {
    expect(refine(sample, airports)).toEqual({
      kind: 'ok',
      outputs: [
        {
          record: {
            id: 'sample-1',
            flightDate: '2001-01-01',
            departure: '2001-01-01T00:47:00',
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
    })
  })

  it('leaves the city of an unknown airport open', () => {
    expect(refine(sample, joined({ origin: null, destination: null }))).toMatchObject({
      outputs: [{ record: { originCity: null, destinationState: null } }],
    })
  })

  it('drops ferry flights', () => {
    expect(refine({ ...sample, distance: 0 }, airports)).toEqual({ kind: 'drop', reason: 'ferry flight' })
  })

  it.each(['2001/02/29 00:00', '2001/01/01 24:00', '2001-01-01 00:00', '', 20010101 as unknown as string])(
    'dead-letters the date %j',
    (date) => {
      expect(refine({ ...sample, date }, airports)).toMatchObject({ kind: 'deadLetter', code: 'FLIGHT_DATE' })
    },
  )
})
