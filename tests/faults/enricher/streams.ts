import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PARTITIONS } from './load.ts'

/** The same orders under either guarantee, side by side, joined with one table. */
export const ORDERS = { plain: 'orders-plain', exact: 'orders-exact' } as const
export const STREAMS: readonly string[] = Object.values(ORDERS)
export const CUSTOMERS = 'customers'
const GUARANTEES: Readonly<Record<string, string>> = { [ORDERS.plain]: 'at-least-once', [ORDERS.exact]: 'exactly-once' }

const FOLDERS = join(import.meta.dirname, '..', '..', '..', 'services', 'enricher', 'test', 'streams')

/** Puts the streams of the enricher's own tests into a project, the orders once per guarantee. */
export function writeStreams(projectDir: string): void {
  const copy = (from: string, to: string): void =>
    cpSync(join(FOLDERS, from), join(projectDir, 'streams', to), { recursive: true })
  copy('customers', CUSTOMERS)
  for (const stream of STREAMS) {
    copy('orders', stream)
    writeContract(projectDir, stream)
  }
}

/** @param refineLines further lines of `refine`, indented by two */
export function writeContract(projectDir: string, stream: string, refineLines = ''): void {
  const lines = `name: ${stream}
description: Orders of a shop; what an order says decides its fate
owner: shop@example.com
key: /id
ingest: [{ kind: events, auth: none }]
raw: { partitions: ${PARTITIONS}, retention: 3650d }
refine:
  schema: refined.avsc
  guarantee: ${GUARANTEES[stream]}
  dedupe: { window: 1h }
  joins:
    - { stream: ${CUSTOMERS}, as: customer, on: /customer, onMissing: { wait: 1d, then: dead-letter } }
${refineLines}lake: { bronze: { format: parquet }, silver: { format: parquet } }
warehouse: { table: ${stream.replaceAll('-', '_').toUpperCase()}, mode: append }
`
  writeFileSync(join(projectDir, 'streams', stream, 'stream.yaml'), lines)
}
