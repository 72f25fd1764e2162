import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { queryFiles, queryWarehouse } from '@mesh/shared/warehouse/duckdb-reader'
import { expect, it } from 'vitest'
import { postEvents } from '../../packages/cli/src/gateway-client.ts'
import type { MeshUnderTest } from './mesh-under-test.ts'

const FILES: Readonly<Record<string, string>> = {
  'stream.yaml': `name: shop-orders
description: Orders of a shop that nobody has heard of
owner: shop@example.com
key: /customer
eventId: /number
ingest:
  - { kind: events, auth: api-key }
raw: { partitions: 3, retention: 7d }
refine: { schema: refined.avsc, dedupe: { window: 1d } }
warehouse: { table: SHOP_ORDERS, mode: upsert }
`,
  'refined.avsc': JSON.stringify({
    type: 'record',
    name: 'ShopOrder',
    namespace: 'example.shop',
    fields: [
      { name: 'number', type: 'long' },
      { name: 'customer', type: 'string' },
      { name: 'total', type: { type: 'bytes', logicalType: 'decimal', precision: 12, scale: 2 } },
      { name: 'lines', type: 'int' },
    ],
  }),
  'refine.ts': `import { deadLetter, ok, tombstone, type Refine } from '@mesh/client/refine'
import { sumOf } from './total.ts'

type Order = { number: number | bigint; customer: string; cancelled?: boolean; lines: { price: string }[] }

export const refine: Refine<Order> = (event) => {
  if (event.cancelled) return tombstone()
  if (!Array.isArray(event.lines)) return deadLetter('ORDER_LINES', 'an order has lines')
  return ok({ number: event.number, customer: event.customer, total: sumOf(event.lines), lines: event.lines.length })
}
`,
  'total.ts': `/** Cents, so that nothing is rounded. */
export function sumOf(lines: readonly { price: string }[]): string {
  const cents = lines.reduce((sum, line) => sum + BigInt(line.price.replace('.', '')), 0n)
  const text = cents.toString().padStart(3, '0')
  return text.slice(0, -2) + '.' + text.slice(-2)
}
`,
}

const BEYOND_DOUBLES = '9007199254740993'

/** A stream that is not in the repository: a folder in a project of its own, and no service code touched. */
export function describeNewStream(mesh: () => MeshUnderTest): void {
  it("carries a user's new stream through every layer after apply, without a restart", async () => {
    const { gateway, apply, versions, lakeDir, warehouseFile, books } = mesh()
    const project = mkdtempSync(join(tmpdir(), 'mesh-project-'))
    const folder = join(project, 'streams', 'shop-orders')
    mkdirSync(folder, { recursive: true })
    for (const [name, content] of Object.entries(FILES)) writeFileSync(join(folder, name), content)
    await apply(project, ['shop-orders'])

    const lines = [
      `{"number":${BEYOND_DOUBLES},"customer":"ada","lines":[{"price":"19.99"},{"price":"0.02"}]}`,
      '{"number":2,"customer":"bob","lines":[{"price":"5.00"}]}',
      '{"number":2,"customer":"bob","lines":[{"price":"5.00"}]}',
      '{"number":3,"customer":"bob","lines":"none"}',
      '{"number":4,"customer":"cyd","lines":[{"price":"1.00"}]}',
      '{"number":5,"customer":"cyd","cancelled":true}',
    ]
    const sent = await postEvents(gateway, 'shop-orders', lines.join('\n'), {
      contentType: 'application/x-ndjson',
      idempotencyKey: 'orders',
    })
    expect(sent.httpStatus).toBe(200)
    expect(sent.receipts.map((receipt) => receipt.eventId)).toEqual([BEYOND_DOUBLES, '2', '2', '3', '4', '5'])

    const found = (await books()).find((summary) => summary.stream === 'shop-orders')!
    expect(found).toMatchObject({
      state: 'closed',
      counts: { ok: 4, outputs: 4, duplicate: 1, deadLetter: 1, drop: 0 },
    })
    const state = await versions('shop-orders')
    const bronze = await queryFiles(
      `select decode(value) as value from read_parquet('${lakeDir}/bronze/shop-orders/${state.rawTopicId}/*/*.parquet')`,
    )
    expect(bronze.rows.map((row) => row['value']).sort()).toEqual([...lines].sort())
    const silver = await queryFiles(
      `select number::varchar as n, total::varchar as total, _op from read_parquet('${lakeDir}/silver/shop-orders/v1/*/*/*.parquet') order by _offset, n`,
    )
    expect(silver.rows).toHaveLength(4)
    expect(silver.rows).toContainEqual({ n: BEYOND_DOUBLES, total: '20.01', _op: 'upsert' })
    const view = await queryWarehouse(
      warehouseFile,
      'select number::varchar as n, customer, total::varchar as total from SHOP_ORDERS order by customer',
    )
    expect(view.rows).toEqual([
      { n: BEYOND_DOUBLES, customer: 'ada', total: '20.01' },
      { n: '2', customer: 'bob', total: '5.00' },
    ])
    rmSync(project, { recursive: true, force: true })
  })
}
