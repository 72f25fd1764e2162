/**
 * Records a second of CPU that the enricher's own work takes, without a broker: decode, deduplicate, join, refine, encode, hash, book,
 * hand to the writer, commit. Raw records lie in memory, outputs go to a producer that only counts.
 *
 * Every measurement has a process of its own, as an enricher has: what one kind of work teaches the compiler slows another down.
 * `node tests/bench/enricher-core.ts [--records N] [--repeats N] [--only TEXT]`.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { KafkaRecord } from '@mesh/shared/core/record'
import { rawSources } from '../../services/enricher/src/core/replayed.ts'
import { openCustomers, openWork, RAW_TOPIC_ID, rawRecord, type WorkOptions } from './enricher-work.ts'
import { median } from './table.ts'

/** Records of a fetched batch, and between two commits. */
const BATCH = 1000
const COMMIT_EVERY = 10_000
const YARDSTICK = 'JSON.parse alone'
const TABLE_BYTES = 134_217_728

type Variant = { readonly name: string; readonly options: () => Promise<WorkOptions> }
/** Records per CPU second of the work, and of parsing the same bytes just before and after it. */
type Rate = { readonly own: number; readonly yardstick: number }

function variantsIn(stateDir: string): Variant[] {
  const plain = { guarantee: 'at-least-once', dedupe: 'none', table: null, stateDir } as const
  const fixed = (name: string, options: Partial<WorkOptions>): Variant => ({
    name,
    options: () => Promise.resolve({ ...plain, ...options }),
  })
  const joined = (name: string, heldBytes: number, options: Partial<WorkOptions>): Variant => ({
    name,
    options: async () => ({ ...plain, ...options, table: await openCustomers(stateDir, heldBytes) }),
  })
  return [
    fixed('refine', {}),
    fixed('refine, exactly-once', { guarantee: 'exactly-once' }),
    fixed('refine, dedupe in memory', { dedupe: 'memory' }),
    fixed('refine, dedupe on disk', { dedupe: 'disk' }),
    joined('refine, dedupe on disk, join', TABLE_BYTES, { dedupe: 'disk' }),
    joined('refine, dedupe on disk, join, exactly-once', TABLE_BYTES, { dedupe: 'disk', guarantee: 'exactly-once' }),
    joined('refine, join, every row read from SQLite', 0, {}),
  ]
}

/** CPU seconds of this process, its garbage collection included. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

async function measure(name: string, options: WorkOptions, records: readonly KafkaRecord[]): Promise<number> {
  const { worker, commit, written } = openWork(options)
  const startedAt = cpuSeconds()
  for (let from = 0; from < records.length; from += BATCH) {
    const part = records.slice(from, from + BATCH)
    const nextOffset = from + part.length
    const batch = { topic: 'raw', topicId: RAW_TOPIC_ID, partition: 0, firstOffset: from, nextOffset, records: part }
    let stall = await worker.run(rawSources(batch), nextOffset)
    if (stall !== null || nextOffset % COMMIT_EVERY === 0) await commit(worker.position()!)
    while (stall !== null) {
      if (stall.kind !== 'transaction-full') throw new Error(`${name}: stalled, ${JSON.stringify(stall)}`)
      stall = await worker.run([])
      await commit(worker.position()!)
    }
  }
  await commit(records.length)
  const rate = records.length / (cpuSeconds() - startedAt)
  if (written.refined !== records.length) {
    throw new Error(`${name}: ${written.refined} outputs of ${records.length} records`)
  }
  return rate
}

/** What the machine gives at this moment: parsing the same bytes and nothing else. */
function yardstick(records: readonly KafkaRecord[]): number {
  const startedAt = cpuSeconds()
  let found = 0
  for (const { value } of records) if ('orderId' in JSON.parse((value as Buffer).toString('utf8'))) found++
  return found / (cpuSeconds() - startedAt)
}

/** Run in a process of its own. A first pass, not counted, is for the compiler. */
async function measureOne(name: string, count: number): Promise<Rate> {
  const stateDir = mkdtempSync(join(tmpdir(), 'mesh-enricher-bench-'))
  try {
    const records = Array.from({ length: count }, (_, offset) => rawRecord(offset))
    const variant = variantsIn(stateDir).find((each) => each.name === name)
    if (variant === undefined) throw new Error(`no work is named "${name}"`)
    const options = await variant.options()
    await measure(name, options, records)
    // On both sides of it, because the machine's pace changes within seconds.
    const before = yardstick(records)
    const own = await measure(name, options, records)
    return { own, yardstick: (before + yardstick(records)) / 2 }
  } finally {
    rmSync(stateDir, { recursive: true, force: true })
  }
}

function measureApart(name: string, count: number): Rate {
  const args = [import.meta.filename, '--records', String(count), '--one', name]
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }))
}

function report(rates: ReadonlyMap<string, readonly Rate[]>): void {
  const text = (rate: number): string => Math.round(rate).toLocaleString('en')
  const row = (name: string, own: readonly number[], ratio: string): string =>
    `| ${name} | ${text(median(own))} | ${text(Math.min(...own))}–${text(Math.max(...own))} | ${ratio} |`
  console.log('| work | median records per CPU second | min–max | ratio |\n|---|--:|--:|--:|')
  const ceilings = [...rates.values()].flat().map(({ yardstick: ceiling }) => ceiling)
  console.log(row(YARDSTICK, ceilings, '1'))
  for (const [name, measured] of rates) {
    const ratio = median(measured.map(({ own, yardstick: ceiling }) => own / ceiling))
    const own = measured.map((each) => each.own)
    console.log(row(name, own, ratio.toFixed(3)))
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      records: { type: 'string', default: '200000' },
      repeats: { type: 'string', default: '5' },
      only: { type: 'string', default: '' },
      one: { type: 'string' },
    },
  })
  const count = Number(values.records)
  if (values.one !== undefined) {
    console.log(JSON.stringify(await measureOne(values.one, count)))
    return
  }
  const names = variantsIn('')
    .map(({ name }) => name)
    .filter((name) => name.includes(values.only))
  const rates = new Map(names.map((name) => [name, [] as Rate[]]))
  for (let i = 0; i < Number(values.repeats); i++) {
    for (const name of names) rates.get(name)!.push(measureApart(name, count))
  }
  const load = loadavg()[0]!.toFixed(1)
  const bytes = rawRecord(0).value?.byteLength
  console.log(
    `${count} records of about ${bytes} bytes, ${values.repeats} interleaved repeats; load at the end ${load}\n`,
  )
  report(rates)
}

await main()
