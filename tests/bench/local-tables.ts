/**
 * What a joined table costs one of two instances, whole and as the parts of its partitions:
 * `node tests/bench/local-tables.ts [rows]`, each in a process of its own. Rows lie on the in-memory broker; times are CPU seconds of
 * the process, so that a busy machine does not change them.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatMeshSrc } from '@mesh/shared/core/coordinate'
import { partitionOf } from '@mesh/shared/core/partitioner'
import { header, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { createMemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { createJoinTables } from '../../services/enricher/src/adapters/join-tables.ts'
import { createTableFolder } from '../../services/enricher/src/adapters/table-folder.ts'
import { createMemoryBudget } from '../../services/enricher/src/core/memory-budget.ts'

const TOPIC = 'refined.customers.v1'
const PARTITIONS = 6
const SCOPES: Readonly<Record<string, readonly (number | null)[]>> = { whole: [null], 'three of six parts': [0, 2, 4] }
const AVSC = JSON.stringify({
  type: 'record',
  name: 'Customer',
  fields: ['id', 'city', 'note'].map((name) => ({ name, type: 'string' })),
})

type Measured = { readonly rows: number; readonly diskMB: number; readonly cpuSeconds: number }

async function measure(partitions: readonly (number | null)[], count: number, dir: string): Promise<Measured> {
  const kafka = createMemoryKafka()
  const codec = createAvroCodec({ schemaById: async () => AVSC })
  await kafka.admin.ensureTopics([{ name: TOPIC, partitions: PARTITIONS, config: {} }])
  const producer = await kafka.producer()
  const records = Array.from({ length: count }, (_, n): RecordToSend => {
    const key = textBytes(`customer-${n}`)
    const partition = partitionOf(key, PARTITIONS)
    const src = formatMeshSrc({ lane: 'main', topicId: 'raw', partition, offset: n, index: 0 })
    const value = codec.encode(1, AVSC, { id: `customer-${n}`, city: `City ${n % 40}`, note: 'x'.repeat(100) })
    return { partition, key, value, headers: [header('mesh-src', src)] }
  })
  await producer.send(TOPIC, records)
  const tables = createJoinTables({
    kafka,
    codec,
    openStore: createTableFolder(dir).open,
    budget: createMemoryBudget(1_048_576),
    wallClockMs: Date.now,
  })
  const began = cpuSeconds()
  const ids = partitions.map((partition) => ({ stream: 'customers', version: 1, historyMs: null, partition }))
  await Promise.all(ids.map((id) => tables.acquire(id)))
  const cpu = cpuSeconds() - began
  const sizes = tables.sizes()
  await Promise.all(ids.map((id) => tables.release(id)))
  await kafka.close()
  const sum = (of: (size: (typeof sizes)[number]) => number): number => sizes.reduce((total, one) => total + of(one), 0)
  return { rows: sum(({ rows }) => rows), diskMB: sum(({ diskBytes }) => diskBytes) / 1e6, cpuSeconds: cpu }
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

function measureApart(scope: string, count: number): Measured {
  const dir = mkdtempSync(join(tmpdir(), 'mesh-bench-'))
  try {
    return JSON.parse(
      execFileSync(process.execPath, [import.meta.filename, String(count), scope, dir], { encoding: 'utf8' }),
    ) as Measured
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

const [count = '200000', scope, dir] = process.argv.slice(2)
if (scope !== undefined && dir !== undefined) {
  process.stdout.write(JSON.stringify(await measure(SCOPES[scope]!, Number(count), dir)))
} else {
  process.stdout.write('| an instance holds | rows | disk MB | CPU s until it is complete |\n|---|--:|--:|--:|\n')
  for (const name of Object.keys(SCOPES)) {
    const { rows, diskMB, cpuSeconds: cpu } = measureApart(name, Number(count))
    process.stdout.write(`| ${name} | ${rows.toLocaleString('en')} | ${diskMB.toFixed(1)} | ${cpu.toFixed(1)} |\n`)
  }
}
