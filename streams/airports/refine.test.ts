import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RefineContext } from '@mesh/client/refine'
import { describe, expect, it } from 'vitest'
import type { RawAirport } from './generated.ts'
import { refine } from './refine.ts'

const sample = JSON.parse(readFileSync(join(import.meta.dirname, 'samples/airport.json'), 'utf8')) as RawAirport
const context = { joins: {} } as unknown as RefineContext

describe('airports', () => {
  it('keeps an airport', () => {
    expect(refine(sample, context)).toEqual({ kind: 'ok', outputs: [{ record: sample }] })
  })

  it('takes coordinates as text, and NA as unknown', () => {
    const event = { ...sample, city: 'NA', state: '', country: null, latitude: '42.5', longitude: '-83' }
    expect(refine(event, context)).toMatchObject({
      outputs: [{ record: { city: null, state: null, country: null, latitude: 42.5, longitude: -83 } }],
    })
  })

  it.each([91, 'north', '', null as unknown as string])('dead-letters the latitude %j', (latitude) => {
    expect(refine({ ...sample, latitude }, context)).toMatchObject({ kind: 'deadLetter', code: 'AIRPORT_POSITION' })
  })
})
