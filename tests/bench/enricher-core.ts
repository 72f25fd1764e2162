/**
 * Records a second of CPU that the enricher's own work takes, without a broker: decode, deduplicate, join, refine, encode, hash, book,
 * hand to the writer, commit. Raw records lie in memory, made just before their batch as a client makes them from a fetch; outputs go
 * to a producer that only counts.
 *
 * Every measurement has a process of its own, as an enricher has: what one kind of work teaches the compiler slows another down.
 * Every batch is timed by itself, because neighbours on the machine slow it down for seconds at a time: the quickest tenth of the
 * batches is what the code takes, the whole is what this machine gave it.
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
import { median, quantile } from './table.ts'

/** Records of a fetched batch, and between two commits. */
const BATCH = 1000
const COMMIT_EVERY = 10_000
const YARDSTICK = 'JSON.parse alone'
const TABLE_BYTES = 134_217_728

type Variant = { readonly name: string; readonly options: () => Promise<WorkOptions> }
/** One batch: its records and the CPU seconds that it took. */
type Timed = { readonly records: number; readonly seconds: number }
/** Records per CPU second: over all batches, garbage collection and commits included, and over the quickest tenth of them. */
type Rate = { readonly whole: number; readonly quickest: number }
/** Of the work, and of parsing the bytes of each batch just before it. */
type Measured = { readonly own: Rate; readonly yardstick: Rate }

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

async function measure(name: string, options: WorkOptions, count: number): Promise<Measured> {
  const { worker, commit, written } = openWork(options)
  const own: Timed[] = []
  const yardstick: Timed[] = []

  async function take(from: number, records: readonly KafkaRecord[]): Promise<void> {
    const nextOffset = from + records.length
    const batch = { topic: 'raw', topicId: RAW_TOPIC_ID, partition: 0, firstOffset: from, nextOffset, records }
    let stall = await worker.run(rawSources(batch), nextOffset)
    if (stall !== null || nextOffset % COMMIT_EVERY === 0 || nextOffset === count) await commit(worker.position()!)
    while (stall !== null) {
      if (stall.kind !== 'transaction-full') throw new Error(`${name}: stalled, ${JSON.stringify(stall)}`)
      stall = await worker.run([])
      await commit(worker.position()!)
    }
  }

  for (let from = 0; from < count; from += BATCH) {
    const records = Array.from({ length: Math.min(BATCH, count - from) }, (_, i) => rawRecord(from + i))
    yardstick.push(await timed(records, () => parseAll(records)))
    own.push(await timed(records, () => take(from, records)))
  }
  if (written.refined !== count) throw new Error(`${name}: ${written.refined} outputs of ${count} records`)
  return { own: rateOf(own), yardstick: rateOf(yardstick) }
}

async function timed(records: readonly KafkaRecord[], work: () => void | Promise<void>): Promise<Timed> {
  const startedAt = cpuSeconds()
  await work()
  return { records: records.length, seconds: cpuSeconds() - startedAt }
}

/** What the machine gives at this moment: parsing the same bytes and nothing else. */
function parseAll(records: readonly KafkaRecord[]): void {
  for (const { value } of records) {
    if (!('orderId' in JSON.parse((value as Buffer).toString('utf8')))) throw new Error('a record has no orderId')
  }
}

function rateOf(batches: readonly Timed[]): Rate {
  const records = batches.reduce((sum, batch) => sum + batch.records, 0)
  const seconds = batches.reduce((sum, batch) => sum + batch.seconds, 0)
  const rates = batches.map((batch) => batch.records / batch.seconds)
  return { whole: records / seconds, quickest: quantile(rates, 0.9) }
}

/** Run in a process of its own. A first pass, not counted, is for the compiler. */
async function measureOne(name: string, count: number): Promise<Measured> {
  const stateDir = mkdtempSync(join(tmpdir(), 'mesh-enricher-bench-'))
  try {
    const variant = variantsIn(stateDir).find((each) => each.name === name)
    if (variant === undefined) throw new Error(`no work is named "${name}"`)
    const options = await variant.options()
    await measure(name, options, count)
    return await measure(name, options, count)
  } finally {
    rmSync(stateDir, { recursive: true, force: true })
  }
}

function measureApart(name: string, count: number): Measured {
  const args = [import.meta.filename, '--records', String(count), '--one', name]
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }))
}

function report(all: ReadonlyMap<string, readonly Measured[]>): void {
  const text = (rate: number): string => Math.round(rate).toLocaleString('en')
  const row = (name: string, rates: readonly Rate[], ratio: string): string => {
    const whole = rates.map((rate) => rate.whole)
    const range = `${text(Math.min(...whole))}–${text(Math.max(...whole))}`
    return `| ${name} | ${text(median(whole))} | ${range} | ${text(median(rates.map((rate) => rate.quickest)))} | ${ratio} |`
  }
  console.log('| work | records per CPU second | min–max | quickest tenth of the batches | ratio of those |')
  console.log('|---|--:|--:|--:|--:|')
  const ceilings = [...all.values()].flat().map(({ yardstick }) => yardstick)
  console.log(row(YARDSTICK, ceilings, '1'))
  for (const [name, measured] of all) {
    const ratio = median(measured.map(({ own, yardstick }) => own.quickest / yardstick.quickest))
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
  const all = new Map(names.map((name) => [name, [] as Measured[]]))
  for (let i = 0; i < Number(values.repeats); i++) {
    for (const name of names) all.get(name)!.push(measureApart(name, count))
  }
  const load = loadavg()[0]!.toFixed(1)
  const bytes = rawRecord(0).value?.byteLength
  console.log(
    `${count} records of about ${bytes} bytes, ${values.repeats} interleaved repeats; load at the end ${load}\n`,
  )
  report(all)
}

await main()
