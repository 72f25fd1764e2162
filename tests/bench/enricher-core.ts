/**
 * Records a second of CPU that the enricher's own work takes, without a broker: decode, deduplicate, join, refine, encode, hash, book,
 * hand to the writer, commit. Raw records lie in memory, outputs go to a producer that only counts.
 * `node tests/bench/enricher-core.ts [--records N] [--repeats N] [--only TEXT]`.
 */
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

type Variant = { readonly name: string; readonly options: WorkOptions }

async function variantsIn(stateDir: string): Promise<Variant[]> {
  const plain = { guarantee: 'at-least-once', dedupe: 'none', table: null, stateDir } as const
  const held = await openCustomers(join(stateDir, 'held'), 134_217_728)
  const onDisk = await openCustomers(join(stateDir, 'on-disk'), 0)
  return [
    { name: 'refine', options: plain },
    { name: 'refine, exactly-once', options: { ...plain, guarantee: 'exactly-once' } },
    { name: 'refine, dedupe in memory', options: { ...plain, dedupe: 'memory' } },
    { name: 'refine, dedupe on disk', options: { ...plain, dedupe: 'disk' } },
    { name: 'refine, dedupe on disk, join', options: { ...plain, dedupe: 'disk', table: held } },
    {
      name: 'refine, dedupe on disk, join, exactly-once',
      options: { ...plain, dedupe: 'disk', table: held, guarantee: 'exactly-once' },
    },
    { name: 'refine, join, every row read from SQLite', options: { ...plain, table: onDisk } },
  ]
}

/** CPU seconds of this process, its garbage collection included. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

async function measure({ name, options }: Variant, records: readonly KafkaRecord[]): Promise<number> {
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

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      records: { type: 'string', default: '200000' },
      repeats: { type: 'string', default: '5' },
      only: { type: 'string', default: '' },
    },
  })
  const stateDir = mkdtempSync(join(tmpdir(), 'mesh-enricher-bench-'))
  try {
    const records = Array.from({ length: Number(values.records) }, (_, offset) => rawRecord(offset))
    const bytes = records.reduce((sum, { value }) => sum + (value?.byteLength ?? 0), 0) / records.length
    const variants = (await variantsIn(stateDir)).filter(({ name }) => name.includes(values.only))
    for (const variant of variants) await measure(variant, records)
    const rates = new Map([YARDSTICK, ...variants.map(({ name }) => name)].map((name) => [name, [] as number[]]))
    const ratios = new Map([...rates.keys()].map((name) => [name, [] as number[]]))
    const add = (name: string, rate: number, ceiling: number): void => {
      rates.get(name)!.push(rate)
      ratios.get(name)!.push(rate / ceiling)
    }
    for (let i = 0; i < Number(values.repeats); i++) {
      for (const variant of variants) {
        // The yardstick on both sides of it, because the machine's pace changes within seconds.
        const before = yardstick(records)
        const rate = await measure(variant, records)
        const ceiling = (before + yardstick(records)) / 2
        add(YARDSTICK, ceiling, ceiling)
        add(variant.name, rate, ceiling)
      }
    }
    const load = loadavg()[0]!.toFixed(1)
    console.log(
      `${records.length} records of ${Math.round(bytes)} bytes, ${values.repeats} interleaved repeats; load at the end ${load}\n`,
    )
    console.log('| work | median records per CPU second | min–max | ratio |\n|---|--:|--:|--:|')
    const text = (rate: number): string => Math.round(rate).toLocaleString('en')
    for (const [name, own] of rates) {
      const range = `${text(Math.min(...own))}–${text(Math.max(...own))}`
      console.log(`| ${name} | ${text(median(own))} | ${range} | ${median(ratios.get(name)!).toFixed(3)} |`)
    }
  } finally {
    rmSync(stateDir, { recursive: true, force: true })
  }
}

await main()
