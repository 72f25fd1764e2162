/**
 * How much memory and time a dedupe window takes: `node tests/bench/dedupe-window.ts [ids]`, each phase in a process of its own.
 * Times are CPU seconds of the process, so that a busy machine does not change them.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDedupeCache } from '../../services/enricher/src/adapters/dedupe-cache.ts'
import { createDedupeStore, type DedupeStore } from '../../services/enricher/src/core/dedupe.ts'
import { createMemoryBudget } from '../../services/enricher/src/core/memory-budget.ts'

const WEEK_MS = 7 * 86_400_000
const SEGMENT_IDS = 200_000
const COMMIT_EVERY = 10_000
const LOOKUPS = 300_000
const BUDGET_BYTES = 268_435_456

type Measured = Record<string, number>

const PHASES: Readonly<Record<string, (count: number, dir: string) => Measured>> = {
  'noting new ids': (count, dir) => fill(openCache(dir), count),
  'restart with the files': (count, dir) => {
    const began = cpuSeconds()
    const store = openCache(dir)
    const seconds = cpuSeconds() - began
    const hits = look(store, count, (n) => (n * 7919) % count)
    const misses = look(store, count, (n) => count + n)
    return { seconds, hitsPerSecond: hits, missesPerSecond: misses, ids: store.size(), ...memory() }
  },
  'restart without memory for filters': (count, dir) => {
    const store = openCache(dir, 0)
    const misses = look(store, Math.min(count, 20_000), (n) => count + n)
    return { missesPerSecond: misses, ids: store.size(), ...memory() }
  },
  'in a Map, for comparison': (count) => fill(createDedupeStore(WEEK_MS), count),
}

function openCache(dir: string, bytes = BUDGET_BYTES): DedupeStore {
  const budget = createMemoryBudget(bytes)
  return openDedupeCache({ dir, identity: 'bench', retainMs: WEEK_MS, segmentIds: SEGMENT_IDS, budget })
}

const idOf = (n: number): string => `0192f0c4-7d3e-7abc-8def-${String(n).padStart(12, '0')}`

function fill(store: DedupeStore, count: number): Measured {
  const began = cpuSeconds()
  let longest = 0
  for (let n = 0; n < count; n++) {
    store.advance(Math.floor((n / count) * (WEEK_MS - 1)))
    store.note(idOf(n), WEEK_MS)
    if (n % COMMIT_EVERY !== COMMIT_EVERY - 1) continue
    const paused = cpuSeconds()
    store.cut(n + 1)
    store.committed(n + 1)
    longest = Math.max(longest, cpuSeconds() - paused)
  }
  store.cut(count)
  store.committed(count)
  const seconds = cpuSeconds() - began
  const held = memory()
  store.close()
  return { idsPerSecond: count / seconds, longestCommitMs: longest * 1000, ...held }
}

/** Lookups a second; what is asked for is noted, as in the service. */
function look(store: DedupeStore, count: number, which: (n: number) => number): number {
  store.advance(WEEK_MS - 1)
  const lookups = Math.min(LOOKUPS, count)
  const began = cpuSeconds()
  for (let n = 0; n < lookups; n++) store.note(idOf(which(n)), WEEK_MS)
  return lookups / (cpuSeconds() - began)
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

function memory(): Measured {
  return { rssMb: process.memoryUsage().rss / 1e6, peakMb: process.resourceUsage().maxRSS / 1000 }
}

function main([first, phase, dir]: readonly string[]): void {
  const count = Number(first ?? 10_000_000)
  if (phase !== undefined) return console.log(JSON.stringify(PHASES[phase]!(count, dir!)))
  const own = mkdtempSync(join(tmpdir(), 'mesh-dedupe-'))
  try {
    for (const name of Object.keys(PHASES)) {
      const options = { encoding: 'utf8', maxBuffer: 1e6 } as const
      const found = execFileSync(process.execPath, [import.meta.filename, String(count), name, own], options)
      const shown = Object.entries(JSON.parse(found) as Measured).map(([key, value]) => `${key} ${rounded(value)}`)
      console.log(`${name}: ${shown.join(', ')}`)
    }
    const bytes = readdirSync(own).reduce((sum, name) => sum + statSync(join(own, name)).size, 0)
    console.log(`files: ${rounded(bytes / 1e6)} MB in ${readdirSync(own).length}`)
  } finally {
    rmSync(own, { recursive: true, force: true })
  }
}

const rounded = (value: number): string => (value < 100 ? value.toFixed(2) : Math.round(value).toLocaleString('en'))

main(process.argv.slice(2))
