import type { StreamVersions } from '@mesh/shared/core/versions'
import { expect, test, vi } from 'vitest'
import type { LandingView } from '../../src/core/ports.ts'
import { createViewProjector } from '../../src/view-projector.ts'
import { TABLE } from './rows.ts'
import { SILENT_TELEMETRY } from './silent-telemetry.ts'

vi.setConfig({ testTimeout: 60_000 })

/** Conditions come true at once on a free machine. */
const PATIENT = { timeout: 50_000 }

const versionsOf = (stream: string, epoch: number): StreamVersions => ({
  stream,
  epoch,
  live: 1,
  rawTopicId: 'r',
  partitions: 1,
  versions: [],
  at: '2024-01-01T00:00:00Z',
})

const viewOf = async (state: StreamVersions): Promise<LandingView> => ({
  table: { ...TABLE, stream: state.stream },
  mode: 'append',
  epoch: state.epoch,
})

test('projects what changed and nothing else; one stream that fails holds up no other and is tried again', async () => {
  const projected: string[] = []
  let broken = true
  const projector = createViewProjector({
    viewOf,
    telemetry: SILENT_TELEMETRY,
    retryMs: 1,
    warehouse: {
      project: async ({ table, epoch }) => {
        if (table.stream === 'broken' && broken) throw new Error('locked')
        projected.push(`${table.stream}@${epoch}`)
      },
    },
  })
  const [first, other] = [versionsOf('flights', 0), versionsOf('broken', 0)]
  await projector.project(
    new Map([
      ['broken', other],
      ['flights', first],
    ]),
  )
  expect(projected).toEqual(['flights@0'])
  expect(projector.behind()).toEqual({ broken: 'locked' })
  broken = false
  await expect.poll(() => projector.behind(), PATIENT).toEqual({})
  await projector.project(
    new Map([
      ['flights', first],
      ['broken', other],
    ]),
  )
  await projector.project(new Map([['flights', versionsOf('flights', 1)]]))
  projector.stop()
  expect(projected).toEqual(['flights@0', 'broken@0', 'flights@1'])
})
