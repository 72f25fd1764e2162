import { isMeshError } from '@mesh/shared/core/errors'
import type { ReplayJob, ReplayRequest, ReplayState } from '@mesh/shared/core/replay-api'
import { enricherGroup, rawTopic, refinedTopic } from '@mesh/shared/core/topics'
import { expect } from 'vitest'
import { callJson } from '../../../packages/cli/src/http-json.ts'
import { waitFor } from '../../../packages/cli/src/wait-for.ts'
import { readBooks } from '../../../services/enricher/src/core/books-metadata.ts'
import { readOutputs } from '../../../services/enricher/test/reader.ts'
import type { seeded } from '../../../services/enricher/test/seeded.ts'
import { killRunning } from './losses.ts'
import { readLog } from './oracle.ts'
import type { FaultWorld } from './world.ts'

/** How long the history takes to be emitted: processes are killed in its midst. */
const HISTORY_SECONDS = 60
const PATIENCE_MS = 300_000
/** The cutover waits for a candidate whose process has just been killed: `MESH_REPLAYER_CUTOVER_WAIT`. */
export const CUTOVER_WAIT = '240s'

export type ReplayUnderKills = {
  readonly stream: string
  readonly members: readonly string[]
  readonly random: ReturnType<typeof seeded>
}

/**
 * Builds the next version of a stream from its history and cuts over, while orders flow. All members and the replayer are killed in
 * the midst of the history, one member when everything is emitted and the candidate passes over to raw, and one when the cutover is
 * asked for.
 */
export async function replayUnderKills(
  world: FaultWorld,
  { stream, members, random }: ReplayUnderKills,
): Promise<ReplayJob> {
  const { kafka, replayerUrl, stack } = world.mesh
  const anyMember = (): string => members[random.below(members.length)]!
  const ends = await kafka.admin.offsets(rawTopic(stream))
  const recorded = ends.reduce((sum, { lastStableOffset }) => sum + lastStableOffset, 0)
  const body: ReplayRequest = { stream, recordsPerSecond: Math.ceil(recorded / HISTORY_SECONDS) }
  const job = await callJson<ReplayJob>(`${replayerUrl()}/v1/replays`, { method: 'POST', body })
  const url = `${replayerUrl()}/v1/replays/${job.id}`
  const history = job.plan.partitions.reduce((sum, { from, to }) => sum + to - from, 0)

  const reach = (what: string, done: () => Promise<boolean>): Promise<unknown> => {
    const ask = async (): Promise<true | null> => ((await done()) ? true : null)
    return waitFor(ask, { what, timeoutMs: PATIENCE_MS, everyMs: 250, progress: () => `${stream}, ${history} records` })
  }
  async function inState(...states: ReplayState[]): Promise<boolean> {
    try {
      return states.includes((await callJson<ReplayJob>(url)).state)
    } catch (error) {
      if (isMeshError(error) && error.code === 'MESH_SERVICE_UNREACHABLE') return false // it is being started again
      throw error
    }
  }
  const refined = async (): Promise<number> =>
    (await kafka.admin.offsets(refinedTopic(stream, job.version))).reduce((sum, o) => sum + o.lastStableOffset, 0)
  async function historyRead(): Promise<number> {
    const committed = await kafka.admin.committed(enricherGroup(stream, job.version), job.replayTopic)
    return [...committed.values()].reduce((sum, { offset }) => sum + offset, 0)
  }

  await reach('the history to be emitted', () => inState('RUNNING'))
  await reach('the candidate to have read some of its history', async () => (await historyRead()) > history / 5)
  expect(stack.kill('replayer', 'SIGKILL')).toBe(true)
  await Promise.all(members.map((member) => killRunning(world, member)))
  const read = await historyRead()
  expect(read, 'read of the history when the enrichers were killed').toBeLessThan(history)
  console.log(`[faults] killed when ${read} of ${history} records of the history of ${stream} were read`)

  await reach('the end of the history', () => inState('DRAINED', 'READY'))
  await killRunning(world, anyMember())
  await reach('the candidate to be ready', () => inState('READY'))

  const cutover = callJson<ReplayJob>(`${url}/cutover`, { method: 'POST', body: {}, timeoutMs: PATIENCE_MS })
  const [cutOver] = await Promise.all([cutover, killRunning(world, anyMember())])
  await world.follow(stream)
  const then = await refined()
  await reach('the new version to go on with what arrives', async () => (await refined()) > then + 50)
  return cutOver
}

/** Whatever the former version has written, the new one has as well, byte for byte; and nothing lies twice on either topic. */
export async function expectRebuilt(
  { mesh: { kafka } }: FaultWorld,
  stream: string,
  { former, rebuilt }: { readonly former: number; readonly rebuilt: number },
): Promise<void> {
  const [before, after] = await Promise.all([former, rebuilt].map((version) => outputsOf(version)))
  expect(before!.size).toBeGreaterThan(0)
  expect([...before!].filter(([place, value]) => after!.get(place) !== value)).toEqual([])
  for (const version of [former, rebuilt]) {
    const committed = await kafka.admin.committed(enricherGroup(stream, version), rawTopic(stream))
    const books = [...committed.values()].map(({ metadata }) => readBooks(metadata, stream))
    expect(books.every(({ transactional }) => transactional)).toBe(true)
  }

  /** Payload by partition, raw offset and index, whatever the lane. */
  async function outputsOf(version: number): Promise<Map<string, string | null>> {
    const found = new Map<string, string | null>()
    const log = await readLog(kafka, refinedTopic(stream, version))
    for (const partition of new Set(log.map((entry) => entry.partition))) {
      const own = log.filter((entry) => entry.partition === partition).map(({ record }) => record)
      const { outputs, redelivered } = readOutputs(own)
      expect(redelivered, `physical duplicates in version ${version}`).toBe(0)
      for (const { origin, value } of outputs) found.set(`${partition}/${origin}`, value)
    }
    return found
  }
}
