import { afterAll, beforeAll } from 'vitest'
import { batchTests } from './flink/batch.ts'
import { faultTests } from './flink/faults.ts'
import { streamingTests } from './flink/streaming.ts'
import { type FlinkWorld, startFlinkWorld } from './flink/world.ts'

let world: FlinkWorld | undefined
const started = (): FlinkWorld => world!

beforeAll(async () => {
  world = await startFlinkWorld()
})
afterAll(() => world?.stop())

streamingTests(started)
faultTests(started)
batchTests(started)
