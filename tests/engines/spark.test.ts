import { afterAll, beforeAll, test } from 'vitest'
import type { MeshUnderTest } from '../e2e/mesh-under-test.ts'
import { postBadFlights } from './bad-flights.ts'
import { postFlights, settle } from './demo-mesh.ts'
import { describeBatch, expectLaterBatch } from './spark-batch.ts'
import { startSparkMesh } from './spark-world.ts'

let mesh: MeshUnderTest

beforeAll(async () => {
  mesh = await startSparkMesh()
  await postBadFlights(mesh)
  await settle(mesh)
})
afterAll(() => mesh?.stop())

describeBatch(() => mesh)

test('what comes later is a run of its own over its own offsets; duplicates of earlier runs are known', async () => {
  await postFlights(mesh, 500, 2000)
  await settle(mesh)
  await expectLaterBatch(mesh)
})
