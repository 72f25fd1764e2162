import { headerText, type RecordHeader } from '@mesh/shared/core/record'
import { bundleAt, liveVersion, type StreamVersions } from '@mesh/shared/core/versions'
import type { JoinedRow } from '../src/core/joins.ts'
import { type Recomputed, recompute } from './oracle.ts'
import { codesOf } from './process.ts'
import { seeded } from './seeded.ts'
import type { Posted, World } from './world.ts'

const DOES = ['drop', 'refuse', 'throw', 'mismatch', 'delete', 'none'] as const
const HOUR = 3_600_000

/** Orders of every fate: repeats of ids in and out of the window, timestamps out of order, poison, tombstones, many outputs. */
export function ordersLog(seed: number, length: number, partition = 0): Posted[] {
  const random = seeded(seed * 7919 + partition)
  let clock = Date.UTC(2026, 0, 1) + seed * HOUR
  return Array.from({ length }, (_, n) => {
    clock += random.below(HOUR / 4)
    const timestamp = random.chance(0.2) ? clock - random.below(HOUR) : random.chance(0.05) ? clock + HOUR : clock
    const id = random.chance(0.4) ? `repeat-${random.below(6)}` : `id-${seed}-${n}`
    const posted = { partition, key: `k${random.below(5)}`, id, timestamp }
    if (random.chance(0.05)) return { ...posted, value: Buffer.from('not json') }
    if (random.chance(0.05)) return { ...posted, value: null }
    const order: Record<string, unknown> = { n, customer: `c${random.below(4)}` }
    if (random.chance(0.4)) order['does'] = DOES[random.below(DOES.length)]
    if (random.chance(0.3)) order['parts'] = random.below(5)
    return { ...posted, value: order }
  })
}

export const srcOf = (record: { readonly headers: readonly RecordHeader[] }): string =>
  headerText(record.headers, 'mesh-src') ?? ''

/** The books of a stream's partition by a recomputation of the whole raw log. */
export async function orderBooks(
  world: World,
  state: StreamVersions,
  options: { partition?: number; findRow?: (stream: string, key: string) => JoinedRow | null } = {},
): Promise<Recomputed> {
  const { partition = 0, findRow } = options
  const loader = codesOf(world)
  const code = await loader.load(bundleAt(liveVersion(state), partition, 0))
  const log = (await world.rawOf(state.stream)).filter((entry) => entry.partition === partition)
  return recompute(log, { topicId: state.rawTopicId, partition }, findRow === undefined ? { code } : { code, findRow })
}
