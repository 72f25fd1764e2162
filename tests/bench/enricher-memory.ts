/**
 * Resident memory of the enricher's own state with nothing but one hot key, and with as many parked records as are allowed and more.
 * Each phase runs in a process of its own: `node tests/bench/enricher-memory.ts [records]`.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KafkaRecord } from '@mesh/shared/core/record'
import { createBodyCache } from '../../services/enricher/src/core/body-cache.ts'
import { rawSources } from '../../services/enricher/src/core/replayed.ts'
import {
  CUSTOMERS,
  openCustomers,
  openWork,
  RAW_TOPIC_ID,
  rawRecord,
  type Work,
  type WorkOptions,
} from './enricher-work.ts'

const BATCH = 1000
const COMMIT_EVERY = 10_000
/** Garbage is collected before each reading, so that what is held is measured. */
const COLLECT = '--expose-gc'
const PARKING = { onMissing: { waitMs: 3_600_000, giveUp: 'dead-letter' } } as const

type Measured = Record<string, number>

const PHASES: Readonly<Record<string, (count: number, stateDir: string) => Promise<Measured>>> = {
  'one hot key, joined, dedupe on disk': async (count, stateDir) => {
    const table = await openCustomers(stateDir, 134_217_728)
    const work = openWork({ guarantee: 'at-least-once', dedupe: 'disk', table, stateDir })
    return feed(work, count, () => 1)
  },
  'parked, a key each, as many as allowed': (count, stateDir) =>
    parked(count, { maxParked: count, stateDir }, (n) => CUSTOMERS + n),
  'parked, a key each, twice as many as allowed': (count, stateDir) =>
    parked(count * 2, { maxParked: count, stateDir }, (n) => CUSTOMERS + n),
  'parked, one hot key, twice as many as allowed': (count, stateDir) =>
    parked(count * 2, { maxParked: count, stateDir }, () => CUSTOMERS),
  'parked, a key each, no bound but that of the bytes': (count, stateDir) =>
    parked(count, { maxParked: count, maxParkedBytes: 134_217_728, stateDir }, (n) => CUSTOMERS + n),
  'the cache of parked records alone': (count) => Promise.resolve(fillBodies(count)),
}

/** What the cache counts beside what it takes: `ENTRY_BYTES` of it comes from here. */
function fillBodies(count: number): Measured {
  const bodies = createBodyCache(Number.POSITIVE_INFINITY)
  const held = bodies.open()
  const put = (offset: number): void => {
    const record = rawRecord(offset, CUSTOMERS + offset)
    held.put({ at: { topicId: RAW_TOPIC_ID, partition: 0, offset }, record })
  }
  // The heap grows to what making records takes, whether they are held or not.
  for (let offset = 0; offset < count; offset++) rawRecord(offset)
  for (let offset = 0; offset < BATCH; offset++) put(offset)
  const before = memory()
  const countedBefore = bodies.bytes()
  for (let offset = BATCH; offset < count; offset++) put(offset)
  const after = memory()
  const entries = count - BATCH
  return {
    records: entries,
    countedBytesEach: (bodies.bytes() - countedBefore) / entries,
    heldBytesEach: (after.heapUsed + after.external - before.heapUsed - before.external) / entries,
    residentBytesEach: (after.rss - before.rss) / entries,
  }
}

async function parked(
  count: number,
  options: Pick<WorkOptions, 'maxParked' | 'maxParkedBytes' | 'stateDir'>,
  customer: (n: number) => number,
): Promise<Measured> {
  const table = await openCustomers(options.stateDir, 134_217_728)
  const work = openWork({ guarantee: 'at-least-once', dedupe: 'none', table, ...options, ...PARKING })
  return feed(work, count, customer)
}

/** Feeds records until all are decided or the partition has to wait. */
async function feed(
  { worker, commit, written, parkedCacheBytes, parkedIndexBytes }: Work,
  count: number,
  customer: (n: number) => number,
): Promise<Measured> {
  // What every run allocates once is no state.
  await run(worker, 0, BATCH, customer)
  await commit(BATCH)
  const before = memory()
  let from = BATCH
  let stalled = false
  for (; from < count && !stalled; from += BATCH) {
    stalled = await run(worker, from, BATCH, customer)
    if (stalled || from % COMMIT_EVERY === 0) await commit(worker.position()!)
  }
  const after = memory()
  const peakMb = process.resourceUsage().maxRSS / 1000
  return {
    offered: from,
    decided: worker.position()!,
    waits: stalled ? 1 : 0,
    outputs: written.refined,
    onStateTopic: written.state,
    parkedCacheMb: parkedCacheBytes() / 1e6,
    parkedIndexMb: parkedIndexBytes() / 1e6,
    rssBeforeMb: before.rss / 1e6,
    rssMb: after.rss / 1e6,
    heapGrowthMb: (after.heapUsed + after.external - before.heapUsed - before.external) / 1e6,
    peakMb,
  }
}

async function run(
  worker: Work['worker'],
  from: number,
  length: number,
  customer: (n: number) => number,
): Promise<boolean> {
  const records: KafkaRecord[] = Array.from({ length }, (_, i) => rawRecord(from + i, customer(from + i)))
  const nextOffset = from + length
  const batch = { topic: 'raw', topicId: RAW_TOPIC_ID, partition: 0, firstOffset: from, nextOffset, records }
  const stall = await worker.run(rawSources(batch), nextOffset)
  if (stall !== null && stall.kind !== 'parked-full') throw new Error(`stalled: ${JSON.stringify(stall)}`)
  return stall !== null
}

function memory(): NodeJS.MemoryUsage {
  globalThis.gc?.()
  return process.memoryUsage()
}

async function main([first, phase, dir]: readonly string[]): Promise<void> {
  const count = Number(first ?? 1_000_000)
  if (phase !== undefined) return console.log(JSON.stringify(await PHASES[phase]!(count, dir!)))
  for (const name of Object.keys(PHASES)) {
    const own = mkdtempSync(join(tmpdir(), 'mesh-enricher-memory-'))
    try {
      const args = [COLLECT, import.meta.filename, String(count), name, own]
      const found = execFileSync(process.execPath, args, { encoding: 'utf8', maxBuffer: 1e6 })
      const shown = Object.entries(JSON.parse(found) as Measured).map(
        ([key, value]) => `${key} ${Math.round(value).toLocaleString('en')}`,
      )
      console.log(`${name}: ${shown.join(', ')}`)
    } finally {
      rmSync(own, { recursive: true, force: true })
    }
  }
}

await main(process.argv.slice(2))
