import type { ColumnType, RefinedRow } from '@mesh/shared/schema/port'
import { describe, expect, test, vi } from 'vitest'
import { createDuckDbWarehouse } from '../../../src/adapters/duckdb-warehouse.ts'
import { landingTable } from '../../../src/core/landing-table.ts'
import { createPartitionBuffer } from '../../../src/core/partition-buffer.ts'
import type { LandingStep, LandingTable } from '../../../src/core/ports.ts'
import { freshFile, rowsOf, textsOf } from '../duckdb.ts'
import { COLUMNS, rowAt, TABLE } from '../rows.ts'

vi.setConfig({ testTimeout: 60_000 })

function stepOf(table: LandingTable, rows: readonly RefinedRow[], partition = 0): LandingStep {
  const buffer = createPartitionBuffer({ table, topicId: 't', partition, entry: null, logStartOffset: 0 })
  rows.forEach((row, i) => {
    buffer.accept(i, row, 10)
  })
  return buffer.cut()!
}

const code = (expected: string) => expect.objectContaining({ code: expected })

describe('writing', () => {
  test('rows and ledger are one step, read back exactly', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    await warehouse.prepare(TABLE)
    const step = stepOf(TABLE, [rowAt(1), rowAt(2, { op: 'delete', values: [null, null], schemaId: null })])
    await warehouse.write([step])
    expect(await warehouse.ledger('flights', 1, 0)).toEqual([step.entry])
    expect(await textsOf(file, 'SELECT * FROM FLIGHTS__V1 ORDER BY _offset')).toEqual([
      [
        'f1',
        '1',
        'upsert',
        'k1',
        'main',
        'raw-topic-id',
        '0',
        '1',
        '0',
        '1',
        'e1',
        '2023-11-14 22:13:21+00',
        '7',
        stepHash(step, 0),
        '1',
      ],
      [
        null,
        null,
        'delete',
        'k2',
        'main',
        'raw-topic-id',
        '0',
        '2',
        '0',
        '2',
        'e2',
        '2023-11-14 22:13:22+00',
        null,
        stepHash(step, 1),
        '1',
      ],
    ])
  })

  test('a step whose ledger was moved by another writer changes nothing, nor do its neighbours in the flush', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    await warehouse.prepare(TABLE)
    await warehouse.write([stepOf(TABLE, [rowAt(1)])])
    const neighbour = stepOf(TABLE, [rowAt(1, {}, 1)], 1)
    await expect(warehouse.write([neighbour, stepOf(TABLE, [rowAt(1)])])).rejects.toThrow(code('MESH_WAREHOUSE_LEDGER'))
    expect(await rowsOf(file, 'SELECT count(*) FROM FLIGHTS__V1')).toEqual([[1n]])
    expect(await warehouse.ledger('flights', 1, 1)).toEqual([])
  })

  test('more rows than a chunk holds arrive all', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    await warehouse.prepare(TABLE)
    await warehouse.write([
      stepOf(
        TABLE,
        Array.from({ length: 5000 }, (_, i) => rowAt(i)),
      ),
    ])
    expect(await rowsOf(file, 'SELECT count(*), sum(distance)::BIGINT FROM FLIGHTS__V1')).toEqual([[5000n, 12497500n]])
  })

  test('a table dropped, or dropped and made anew, is noticed before the next write and never refilled in silence', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    await warehouse.prepare(TABLE)
    await file.use((connection) => connection.run('CREATE OR REPLACE TABLE FLIGHTS__V1 AS FROM FLIGHTS__V1'))
    await expect(warehouse.write([stepOf(TABLE, [rowAt(1)])])).rejects.toThrow(code('MESH_WAREHOUSE_REPLACED'))
    await file.use((connection) => connection.run('DROP TABLE FLIGHTS__V1'))
    await expect(warehouse.prepare(TABLE)).rejects.toThrow(code('MESH_WAREHOUSE_REPLACED'))
  })
})

describe('types', () => {
  const EXTREMES: readonly [ColumnType, unknown, string][] = [
    [{ kind: 'boolean' }, true, 'true'],
    [{ kind: 'int' }, -2147483648, '-2147483648'],
    [{ kind: 'bigint' }, 2n ** 53n + 1n, '9007199254740993'],
    [{ kind: 'bigint' }, -(2n ** 63n), '-9223372036854775808'],
    [{ kind: 'float' }, Number.NaN, 'nan'],
    [{ kind: 'double' }, Number.POSITIVE_INFINITY, 'inf'],
    [{ kind: 'double' }, -0, '-0.0'],
    [{ kind: 'double' }, 5e-324, '5e-324'],
    [{ kind: 'string' }, '', ''],
    [{ kind: 'string' }, 'ü\u0000\u{1f6eb}', 'ü\u0000\u{1f6eb}'],
    [{ kind: 'bytes' }, new Uint8Array([0, 255]), '\\x00\\xFF'],
    [{ kind: 'bytes' }, new Uint8Array(), ''],
    [{ kind: 'date' }, '1582-10-04', '1582-10-04'],
    [{ kind: 'date' }, '-004713-01-01', '4714-01-01 (BC)'],
    [{ kind: 'time' }, '23:59:59.999999', '23:59:59.999999'],
    [{ kind: 'timestamptz' }, '1969-12-31T23:59:59.999999Z', '1969-12-31 23:59:59.999999+00'],
    [{ kind: 'timestamptz' }, '2024-02-29T12:00:00+02:00', '2024-02-29 10:00:00+00'],
    [{ kind: 'timestamp' }, '1677-09-21T00:12:43.145224', '1677-09-21 00:12:43.145224'],
    [{ kind: 'uuid' }, 'FFFFFFFF-ffff-4fff-8fff-ffffffffffff', 'ffffffff-ffff-4fff-8fff-ffffffffffff'],
    [{ kind: 'uuid' }, '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000001'],
    [{ kind: 'json' }, '{"a":[1,null,"x"]}', '{"a":[1,null,"x"]}'],
    [
      { kind: 'decimal', precision: 38, scale: 10 },
      '-9999999999999999999999999999.9999999999',
      '-9999999999999999999999999999.9999999999',
    ],
    [{ kind: 'decimal', precision: 38, scale: 10 }, '0.0000000001', '0.0000000001'],
    [{ kind: 'decimal', precision: 4, scale: 2 }, '-0.05', '-0.05'],
    [{ kind: 'decimal', precision: 9, scale: 0 }, '999999999', '999999999'],
  ]

  test('extremes come back exactly, and null stays apart from empty', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    const columns = EXTREMES.map(([type], i) => ({ name: `c${i}`, type, nullable: true }))
    const table = landingTable('types', 1, 'TYPES', columns)
    await warehouse.prepare(table)
    // Preparing again compares the table's own spelling of every type with ours.
    await warehouse.prepare(table)
    await warehouse.write([
      stepOf(table, [
        rowAt(1, { values: EXTREMES.map(([, value]) => value) }),
        rowAt(2, { values: EXTREMES.map(() => null) }),
      ]),
    ])
    const texts = await textsOf(
      file,
      `SELECT ${columns.map(({ name }) => `${name}::VARCHAR`).join(', ')} FROM TYPES__V1 ORDER BY _offset`,
    )
    expect(texts[0]).toEqual(EXTREMES.map(([, , text]) => text))
    expect(texts[1]).toEqual(EXTREMES.map(() => null))
  })

  test.each<[ColumnType, unknown]>([
    [{ kind: 'decimal', precision: 4, scale: 2 }, '1.005'],
    [{ kind: 'timestamptz' }, '2024-01-01T00:00:00.1234567Z'],
    [{ kind: 'timestamptz' }, '+999999-01-01T00:00:00Z'],
    [{ kind: 'uuid' }, 'not-a-uuid'],
    [{ kind: 'date' }, '2023-02-29'],
  ])('%j refuses %s instead of rounding it', async (type, value) => {
    const warehouse = createDuckDbWarehouse(await freshFile())
    const table = landingTable('types', 1, 'TYPES', [{ name: 'c', type, nullable: true }])
    await warehouse.prepare(table)
    await expect(warehouse.write([stepOf(table, [rowAt(1, { values: [value] })])])).rejects.toThrow(
      code('MESH_WAREHOUSE_VALUE'),
    )
  })

  test("a sender's nanosecond clock does not stop the landing", async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    await warehouse.prepare(TABLE)
    await warehouse.write([stepOf(TABLE, [rowAt(1, { eventTime: '2024-01-01T00:00:00.123456789Z' })])])
    expect(await textsOf(file, 'SELECT _event_time FROM FLIGHTS__V1')).toEqual([['2024-01-01 00:00:00.123456+00']])
  })
})

describe('schema growth', () => {
  test('a grown schema adds a nullable column and widens without loss; older rows stay', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    const narrow = landingTable('flights', 1, 'FLIGHTS', [{ name: 'n', type: { kind: 'int' }, nullable: false }])
    const wide = landingTable('flights', 1, 'FLIGHTS', [
      { name: 'added', type: { kind: 'json' }, nullable: true },
      { name: 'n', type: { kind: 'bigint' }, nullable: false },
    ])
    await warehouse.prepare(narrow)
    const first = stepOf(narrow, [rowAt(1, { values: [1] })])
    await warehouse.write([first])
    await warehouse.project({ table: narrow, mode: 'append', epoch: 0 })
    await warehouse.prepare(wide)
    const buffer = createPartitionBuffer({
      table: wide,
      topicId: 't',
      partition: 0,
      entry: first.entry,
      logStartOffset: 0,
    })
    buffer.accept(1, rowAt(2, { values: ['{}', 2n ** 60n] }), 1)
    await warehouse.write([buffer.cut()!])
    await warehouse.project({ table: wide, mode: 'append', epoch: 0 })
    expect(await textsOf(file, 'SELECT added, n FROM FLIGHTS ORDER BY _offset')).toEqual([
      [null, '1'],
      ['{}', String(2n ** 60n)],
    ])
  })

  test('a change that could lose values is refused and leaves the table as it is', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    await warehouse.prepare(TABLE)
    const changed = landingTable('flights', 1, 'FLIGHTS', [{ name: 'id', type: { kind: 'int' }, nullable: true }])
    await expect(warehouse.prepare(changed)).rejects.toThrow(code('MESH_WAREHOUSE_SCHEMA'))
    await warehouse.prepare(TABLE)
  })
})

describe('views', () => {
  const V2 = landingTable('flights', 2, 'FLIGHTS', COLUMNS)

  test('append shows every row but tombstones; upsert shows the latest per key and hides deleted keys', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    await warehouse.prepare(TABLE)
    await warehouse.write([
      stepOf(TABLE, [
        rowAt(1, { key: 'a' }),
        rowAt(2, { key: 'b' }),
        rowAt(3, { key: 'a' }),
        rowAt(4, { key: 'b', op: 'delete', values: [null, null] }),
      ]),
    ])
    await warehouse.project({ table: TABLE, mode: 'append', epoch: 0 })
    expect(await textsOf(file, 'SELECT _key, id FROM flights ORDER BY _offset')).toEqual([
      ['a', 'f1'],
      ['b', 'f2'],
      ['a', 'f3'],
    ])
    await warehouse.project({ table: TABLE, mode: 'upsert', epoch: 1 })
    expect(await textsOf(file, 'SELECT _key, id FROM flights')).toEqual([['a', 'f3']])
  })

  test('order is that of the source, also where a record waited and came out in another lane', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    await warehouse.prepare(TABLE)
    const parked = (rawOffset: number, offset: number, key: string) => {
      const src = { ...rowAt(rawOffset).src, lane: 'parked', offset }
      return rowAt(rawOffset, { key, src })
    }
    await warehouse.write([
      stepOf(TABLE, [
        rowAt(1, { key: 'a' }),
        parked(2, 999_999, 'a'),
        rowAt(3, { key: 'a' }),
        rowAt(4, { key: 'b' }),
        parked(5, 1_999_998, 'b'),
        parked(6, 1_999_999, 'b'),
      ]),
    ])
    await warehouse.project({ table: TABLE, mode: 'upsert', epoch: 0 })
    expect(await textsOf(file, 'SELECT _key, id, _raw_offset FROM FLIGHTS ORDER BY _key')).toEqual([
      ['a', 'f3', '3'],
      ['b', 'f6', '6'],
    ])
  })

  test('of one raw record the last output of a key wins', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    await warehouse.prepare(TABLE)
    const src = rowAt(1).src
    const outputs = [0, 1, 2].map((index) =>
      rowAt(1, { key: 'a', src: { ...src, index }, values: [`i${index}`, null] }),
    )
    await warehouse.write([stepOf(TABLE, outputs)])
    await warehouse.project({ table: TABLE, mode: 'upsert', epoch: 0 })
    expect(await textsOf(file, 'SELECT id FROM FLIGHTS')).toEqual([['i2']])
  })

  test('a cutover moves the view to the next version, an older epoch never moves it back, and a rollback is a newer epoch', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    const versions = async () => textsOf(file, 'SELECT DISTINCT _version FROM FLIGHTS')
    for (const table of [TABLE, V2]) {
      await warehouse.prepare(table)
      await warehouse.write([stepOf(table, [rowAt(1, { version: table.version })])])
    }
    await warehouse.project({ table: TABLE, mode: 'append', epoch: 0 })
    expect(await versions()).toEqual([['1']])
    await warehouse.project({ table: V2, mode: 'append', epoch: 1 })
    expect(await versions()).toEqual([['2']])
    await warehouse.project({ table: TABLE, mode: 'append', epoch: 0 })
    expect(await versions()).toEqual([['2']])
    await warehouse.project({ table: TABLE, mode: 'append', epoch: 2 })
    expect(await versions()).toEqual([['1']])
    expect(await textsOf(file, 'SELECT stream, version, epoch FROM _mesh_views')).toEqual([['flights', '1', '2']])
  })

  test('a renamed table of the contract leaves no view of the old name', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    await warehouse.project({ table: TABLE, mode: 'append', epoch: 0 })
    await warehouse.project({ table: landingTable('flights', 2, 'TRIPS', COLUMNS), mode: 'append', epoch: 1 })
    expect(await textsOf(file, 'SELECT view_name FROM duckdb_views() WHERE NOT internal')).toEqual([['TRIPS']])
  })
})

function stepHash(step: LandingStep, i: number): string {
  return step.rows[i]!.hash.toString(16).padStart(32, '0')
}
