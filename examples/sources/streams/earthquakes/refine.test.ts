import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RefineContext } from '@mesh/client/refine'
import { expect, test } from 'vitest'
import { refine } from './refine.ts'
import type { RawEarthquake } from './types.ts'

const sample = JSON.parse(readFileSync(join(import.meta.dirname, 'samples/castaic.json'), 'utf8')) as RawEarthquake
const context = { joins: {} } as unknown as RefineContext

test('a report becomes a row', () => {
  expect(refine(sample, context)).toEqual({
    kind: 'ok',
    outputs: [
      {
        record: {
          id: 'ci37868143',
          magnitude: 2,
          magnitudeType: 'ml',
          place: '4km W of Castaic, CA',
          occurredAt: '2018-02-07T01:26:13.840Z',
          updatedAt: '2018-02-07T01:29:56.303Z',
          latitude: 34.4945,
          longitude: -118.6671667,
          depthKm: 26.49,
          status: 'automatic',
          tsunami: false,
          kind: 'earthquake',
        },
      },
    ],
  })
})

test.each([[null], [{ coordinates: [] }], [{ coordinates: [null, 1] }]])(
  'no position (%j) is a dead letter',
  (geometry) => {
    const event = { ...sample, geometry } as RawEarthquake
    expect(refine(event, context)).toMatchObject({ kind: 'deadLetter', code: 'EARTHQUAKE_POSITION' })
  },
)
