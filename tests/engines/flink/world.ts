import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Run, RunsResponse } from '@mesh/shared/core/runs'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import { callJson } from '../../../packages/cli/src/http-json.ts'
import { installFlink } from '../../../packages/cli/src/stack/flink.ts'
import { type FlinkCluster, startFlinkCluster } from '../../../packages/cli/src/stack/flink-cluster.ts'
import { waitFor } from '../../../packages/cli/src/wait-for.ts'
import type { MeshUnderTest } from '../../e2e/mesh-under-test.ts'
import { CACHE, ROOT, startDemoMesh } from '../demo-mesh.ts'

export const REFINED = 'refined.flights.v1'
export const DELAYS = 'refined.origin-delays.v1'
export const DAYS = 'refined.origin-days.v1'
export const COPIES = 'flight-copies'
export const INPUTS = 'inputs: [{ stream: flights, layer: silver }]'

export type FlinkTask = { readonly jid: string; readonly name: string; readonly state: string }

/** One mesh with the demonstration's data and one session cluster, for all of the suite. */
export type FlinkWorld = {
  readonly cluster: FlinkCluster
  readonly mesh: MeshUnderTest
  readonly triggerUrl: string
  readonly runs: (job: string) => Promise<readonly Run[]>
  /** Until the newest run of a job is as it should be. @throws Error when it is dead and was not to be */
  readonly until: (job: string, what: string, wanted: (run: Run) => boolean) => Promise<Run>
  readonly jobs: () => Promise<readonly FlinkTask[]>
  readonly putScript: (name: string, text: string) => void
  /** Keys and values of a topic, read_committed. */
  records(topic: string): Promise<{ key: string; value: Uint8Array | null }[]>
  /** Rows of a topic in the order of their offsets per key, as a file that DuckDB reads. */
  rowsFile(topic: string, select: 'all' | 'newest'): Promise<string>
  stop(): Promise<void>
}

export async function startFlinkWorld(): Promise<FlinkWorld> {
  const state = mkdtempSync(join(tmpdir(), 'mesh-flink-'))
  const installation = await installFlink({
    folder: join(ROOT, 'transforms', 'flink'),
    cache: CACHE,
    env: process.env,
    onProgress: (text) => console.log(`flink ${text}`),
  })
  const startedAt = Date.now()
  const cluster = await startFlinkCluster({ ...installation, stateDir: state, env: process.env })
  console.log(`flink cluster up in ${seconds(startedAt)}`)
  Object.assign(process.env, { MESH_FLINK_URL: cluster.url, MESH_FLINK_GATEWAY_URL: cluster.gatewayUrl })
  const mesh = await startDemoMesh({
    services: ['job-trigger'],
    prepare(projectDir) {
      cpSync(join(ROOT, 'transforms', 'flink'), join(projectDir, 'transforms', 'flink'), { recursive: true })
      mkdirSync(join(projectDir, 'jobs'))
    },
  }).catch(async (error: unknown) => {
    await cluster.stop()
    throw error
  })
  console.log(`flink mesh with its data up after ${seconds(startedAt)}`)
  await mesh.kafka.admin.ensureTopics([
    ...[DELAYS, COPIES].map((name) => ({ name, partitions: 3, config: { 'cleanup.policy': 'compact' } })),
    { name: DAYS, partitions: 3, config: {} },
  ])
  const triggerUrl = mesh.stack.addresses.services['job-trigger']!
  const runs = async (job: string): Promise<readonly Run[]> =>
    (await callJson<RunsResponse>(`${triggerUrl}/v1/runs?job=${job}`)).runs

  async function records(topic: string): Promise<{ key: string; value: Uint8Array | null }[]> {
    const found: { key: string; value: Uint8Array | null }[] = []
    const offsets = await mesh.kafka.admin.offsets(topic)
    const ranges = offsets.map(({ partition, lastStableOffset }) => ({ partition, from: 0, to: lastStableOffset }))
    await mesh.kafka.readRanges(topic, ranges, (batch) => {
      for (const { key, value } of batch.records) found.push({ key: Buffer.from(key!).toString('utf8'), value })
    })
    return found
  }

  return {
    cluster,
    mesh,
    triggerUrl,
    runs,
    records,
    async until(job, what, wanted) {
      let last: Run | undefined
      return waitFor(
        async () => {
          // A job-trigger that was killed is on its way back.
          last = (await runs(job).catch(() => []))[0]
          if (!last) return null
          if (wanted(last)) return last
          if (last.state === 'dead') throw new Error(`${last.id} is dead: ${last.error?.message}`)
          return null
        },
        {
          what: `${job} ${what}`,
          timeoutMs: 500_000,
          progress: () => JSON.stringify([last?.id, last?.state, last?.attempt, last?.error, last?.streaming]),
        },
      )
    },
    jobs: async () => (await callJson<{ jobs: readonly FlinkTask[] }>(`${cluster.url}/jobs/overview`)).jobs,
    putScript: (name, text) => writeFileSync(join(mesh.projectDir, name), text),
    async rowsFile(topic, select) {
      const codec = createAvroCodec(createSchemaRegistry({ url: mesh.stack.addresses.registryUrl }))
      const rows: [string, unknown][] = []
      for (const { key, value } of await records(topic)) rows.push([key, (await codec.decode(value!)).record])
      const file = join(state, `${topic}-${Date.now()}.json`)
      const chosen = select === 'all' ? rows.map(([, row]) => row) : [...new Map(rows).values()]
      writeFileSync(file, JSON.stringify(chosen))
      return file
    },
    async stop() {
      await mesh.stop()
      await cluster.stop()
      rmSync(state, { recursive: true, force: true })
    },
  }
}

export const seconds = (since: number): string => `${((Date.now() - since) / 1000).toFixed(1)} s`

/** All of silver, the refined records as the mesh's sink has them. */
export const silver = ({ lakeDir }: MeshUnderTest): string =>
  `read_parquet('${lakeDir}/silver/flights/v1/**/*.parquet', union_by_name = true)`
