/**
 * What a parked record costs from its row's arrival to its release, when all of them are of one key: `node tests/bench/parked-release.ts`.
 * The same for ever more of them; CPU time of the process, so that a busy machine does not change it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tableKey } from '../../services/enricher/src/core/joins.ts'
import { rawSources } from '../../services/enricher/src/core/replayed.ts'
import { CUSTOMERS, openCustomers, openWork, RAW_TOPIC_ID, rawRecord } from './enricher-work.ts'

const COUNTS = [12_500, 25_000, 50_000, 100_000]
const BATCH = 1000
/** No customer has it until its row arrives. */
const HOT = CUSTOMERS

async function measure(count: number, stateDir: string): Promise<{ parking: number; releasing: number }> {
  const held = await openCustomers(stateDir, 134_217_728)
  let arrived = false
  const table = { ...held, find: (key: string) => (arrived ? held.find('0') : held.find(key)) }
  const { worker, commit, written } = openWork({
    guarantee: 'at-least-once',
    dedupe: 'none',
    table,
    onMissing: { waitMs: 3_600_000, giveUp: 'dead-letter' },
    stateDir,
    maxParked: count,
    parkedCacheBytes: 1_073_741_824,
  })
  const parkingFrom = cpuSeconds()
  for (let from = 0; from < count; from += BATCH) {
    const records = Array.from({ length: Math.min(BATCH, count - from) }, (_, i) => rawRecord(from + i, HOT))
    const nextOffset = from + records.length
    const batch = { topic: 'raw', topicId: RAW_TOPIC_ID, partition: 0, firstOffset: from, nextOffset, records }
    await worker.run(rawSources(batch), nextOffset)
    await commit(nextOffset)
  }
  const releasingFrom = cpuSeconds()
  arrived = true
  worker.wake(tableKey('customers', String(HOT)))
  while (written.refined < count) {
    const { moved, stopped } = await worker.release()
    if (!moved) throw new Error(`nothing is released after ${written.refined} of ${count}: ${stopped}`)
    await commit(count)
  }
  const ended = cpuSeconds()
  return { parking: (releasingFrom - parkingFrom) / count, releasing: (ended - releasingFrom) / count }
}

/** CPU seconds of this process, its garbage collection included. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

async function measureIn(count: number): Promise<{ parking: number; releasing: number }> {
  const stateDir = mkdtempSync(join(tmpdir(), 'mesh-parked-release-'))
  try {
    return await measure(count, stateDir)
  } finally {
    rmSync(stateDir, { recursive: true, force: true })
  }
}

// The first one compiles the code.
await measureIn(COUNTS[0]!)
console.log('| parked records of one key | µs of CPU to park one | µs of CPU to release one |\n|--:|--:|--:|')
for (const count of COUNTS) {
  const { parking, releasing } = await measureIn(count)
  console.log(`| ${count.toLocaleString('en')} | ${(parking * 1e6).toFixed(1)} | ${(releasing * 1e6).toFixed(1)} |`)
}
