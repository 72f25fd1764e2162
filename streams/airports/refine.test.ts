import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runRefine } from '@mesh/client/testing'
import { describe, expect, it } from 'vitest'
import type { RawAirport } from './generated.ts'

const airport = JSON.parse(readFileSync(join(import.meta.dirname, 'samples/airport.json'), 'utf8')) as RawAirport
const refine = (event: unknown) => runRefine({ folder: import.meta.dirname, samples: [event] })

describe('airports', () => {
  it('keeps an airport', async () => {
    expect(await refine(airport)).toMatchObject([{ kind: 'ok', records: [{ key: airport.iata, record: airport }] }])
  })

  it('takes coordinates as text, and NA as unknown', async () => {
    const event = { ...airport, city: 'NA', state: '', country: null, latitude: '42.5', longitude: '-83' }
    expect(await refine(event)).toMatchObject([
      { records: [{ record: { city: null, state: null, country: null, latitude: 42.5, longitude: -83 } }] },
    ])
  })

  it.each([91, 'north', '', null])('dead-letters the latitude %j', async (latitude) => {
    expect(await refine({ ...airport, latitude })).toMatchObject([{ kind: 'deadLetter', code: 'AIRPORT_POSITION' }])
  })
})
