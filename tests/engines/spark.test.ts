import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { MeshUnderTest } from '../e2e/mesh-under-test.ts'
import { postBadFlights } from './bad-flights.ts'
import { settle } from './demo-mesh.ts'
import { describeBatch, dropBatch, expectLaterBatch, putBatch } from './spark-batch.ts'
import { type SparkCluster, startSparkCluster } from './spark-cluster.ts'
import {
  describeStream,
  dropStream,
  evolve,
  expectLaterStream,
  type Later,
  putStream,
  writeAgain,
} from './spark-stream.ts'
import { startSparkMesh } from './spark-world.ts'

let mesh: MeshUnderTest

// One mesh for all, and batch and stream side by side: most of a small run is the start of its driver.
beforeAll(async () => {
  mesh = await startSparkMesh()
  expect(await writeAgain(mesh)).toBeGreaterThan(0)
  await postBadFlights(mesh)
  await settle(mesh)
  putBatch(mesh)
  putStream(mesh)
})
afterAll(() => mesh?.stop())

describeBatch(() => mesh)
describeStream(() => mesh)

describe('what comes later is a run of its own', () => {
  let later: Later
  let cluster: SparkCluster

  beforeAll(async () => {
    await dropBatch(mesh)
    await dropStream(mesh)
    cluster = await startSparkCluster()
    later = await evolve(mesh)
    putBatch(mesh, cluster.master)
    putStream(mesh)
  })
  afterAll(() => cluster?.stop())

  test('of the batch: on a standalone cluster, over its own offsets; duplicates of earlier runs are known', () =>
    expectLaterBatch(mesh, cluster))

  test('of the stream: each row once, though the schema has grown, some records are unreadable and its driver is killed inside a micro-batch', () =>
    expectLaterStream(mesh, later))
})
