import { inputText } from '../render-jobs.ts'
import type { StackAddresses } from '../stack/environment.ts'
import { renderColumns } from '../table.ts'
import { renderBooks } from '../verify/render.ts'
import type { DemoResult } from './run-demo.ts'

/** What arrived at every layer, as a person reads it. */
export function renderReport(result: DemoResult, addresses: StackAddresses): string {
  const receipts = Object.entries(result.receipts).filter(([, all]) => all.length > 0)
  return [
    '',
    heading('Receipts: what the gateway answered, once Kafka had each event (acks=all)'),
    renderColumns(
      receipts.map(([stream, all]) => {
        const last = all.at(-1)
        return [
          `  ${stream}`,
          `${all.length} accepted`,
          last ? `last: ${last.eventId} → ${last.topic} partition ${last.partition} offset ${last.offset}` : '',
        ]
      }),
    ),
    ...result.rejected
      .slice(0, 10)
      .map((receipt) => `  REJECTED ${receipt.code ?? receipt.status}: ${receipt.message ?? ''}`),
    '',
    heading('Refined record (Avro, decoded)'),
    result.refined
      ? `  ${result.refined.topic} partition ${result.refined.partition} offset ${result.refined.offset}, mesh-src ${result.refined.meshSrc}`
      : '  MISSING',
    fields(result.refined?.record),
    '',
    heading('Bronze: the same event as received, read back from Parquet'),
    fields(result.samples.bronze),
    '',
    heading('Silver: typed, deduplicated, read back from Parquet'),
    fields(result.samples.silver),
    '',
    heading('Warehouse: its row in the landing table'),
    fields(result.samples.landing),
    '',
    heading('Gold: what dbt made of it, set off by the commit events of landing'),
    ...goldLines(result.gold),
    '',
    heading('This run, layer by layer'),
    renderColumns([
      ['  stream', 'layer', 'expected', 'found'],
      ...result.layers.map(({ stream, layer, expected, found }) => [
        `  ${stream}`,
        layer,
        String(expected),
        `${found}${found === expected ? '' : '  MISSING'}`,
      ]),
    ]),
    '',
    ...sourceLines(result),
    heading('Reconciliation'),
    indent(renderBooks(result.books)),
    '',
    heading('Where it is'),
    renderColumns([
      ['  status page', addresses.services['console'] ?? ''],
      ['  gateway', `${addresses.services['ingest-gateway'] ?? ''} (API: /openapi.json)`],
      ['  replayer', addresses.services['replayer'] ?? ''],
      ['  Kafka', addresses.kafkaBrokers],
      ['  registry', addresses.registryUrl],
      ['  lake', addresses.lakeUrl],
      [
        '  warehouse',
        `${addresses.warehouseUrl} (try: npx mesh sql "select origin, count(*) n, avg(delay) from FLIGHTS group by 1 order by n desc limit 5")`,
      ],
      [
        '  gold',
        `${addresses.goldUrl} (try: npx mesh sql "select * from gold.route_performance order by flights desc limit 5")`,
      ],
    ]),
    '',
  ].join('\n')
}

function sourceLines({ sources }: DemoResult): string[] {
  if (sources.length === 0) return []
  const rows = sources.map(({ stream, from, expected, found }) => [
    `  ${stream}`,
    from,
    String(expected),
    `${found}${found === expected ? '' : '  MISSING'}`,
  ])
  return [
    heading('Pulled from sources: what is there, and what of it has landed in the warehouse'),
    renderColumns([['  stream', 'from', 'there', 'landed'], ...rows]),
    ...sources.flatMap(({ stream, row }) => ['', `  one row of ${stream}`, fields(row)]),
    '',
    '  REST and GraphQL both bring every earthquake, and each run reads the last minute again: the books count that as duplicates.',
    '  While the mesh is up: npx mesh sources, npx mesh status, npx mesh audit airports; change a row of the table and see it with',
    '  npx mesh tail airports (docs/sources.md).',
    '',
  ]
}

function goldLines(gold: DemoResult['gold']): string[] {
  if (gold.state !== 'there') return [`  ${gold.state === 'failed' ? 'FAILED' : 'NOT HERE'}: ${gold.reason}`]
  return [
    `  run ${gold.run.id}: ${inputText(gold.run)}`,
    '  gold.daily_airport_delays',
    renderColumns([
      gold.columns.map((name, i) => (i === 0 ? `  ${name}` : name)),
      ...gold.rows.map((row) => row.map((cell, i) => (i === 0 ? `  ${cell}` : cell))),
    ]),
  ]
}

function heading(text: string): string {
  return `── ${text}`
}

function fields(row: unknown): string {
  if (row === null || row === undefined) return '  MISSING'
  return renderColumns(
    Object.entries(row as Record<string, unknown>).map(([name, value]) => [`  ${name}`, shorten(value)]),
  )
}

const LONGEST = 110

function shorten(value: unknown): string {
  const text =
    typeof value === 'string'
      ? value
      : (JSON.stringify(value, (_k, v: unknown) => (typeof v === 'bigint' ? v.toString() : v)) ?? 'null')
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n')
}
