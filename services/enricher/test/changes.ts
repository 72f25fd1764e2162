/** Records of Debezium as its JSON converter writes them without schemas (decimals and times as strings). */
type Row = Readonly<Record<string, unknown>>

export type PostgresChange = {
  readonly op?: 'c' | 'u' | 'd' | 'r' | 't' | 'm'
  readonly before?: Row | null
  readonly after?: Row | null
  readonly lsn: number | bigint
  readonly server?: string
  readonly source?: Row
}

export const TOAST = '__debezium_unavailable_value'

/** The text of a record of the PostgreSQL connector 3.7. */
export function postgresChange({
  op = 'u',
  before = null,
  after = null,
  lsn,
  server = 'shop',
  source,
}: PostgresChange): string {
  const block = {
    version: '3.7.0.Final',
    connector: 'postgresql',
    name: server,
    ts_ms: 1_764_200_000_123,
    snapshot: op === 'r' ? 'true' : 'false',
    db: 'shop',
    sequence: JSON.stringify([String(BigInt(lsn) - 8n), String(lsn)]),
    ts_us: 1_764_200_000_123_456,
    ts_ns: 'TS_NS',
    schema: 'public',
    table: 'orders',
    txId: 771,
    lsn: 'LSN',
    xmin: null,
    ...source,
  }
  const envelope = { before, after, source: block, transaction: null, op, ts_ms: 1_764_200_000_456 }
  return JSON.stringify(envelope, (_, value: unknown) => (typeof value === 'bigint' ? `BIG${value}` : value))
    .replace('"LSN"', String(lsn))
    .replace('"TS_NS"', '1764200000123456789')
    .replaceAll(/"BIG(-?\d+)"/g, '$1')
}

export type MongoChange = {
  readonly op?: 'c' | 'u' | 'd' | 'r'
  readonly before?: string | null
  readonly after?: string | null
  readonly seconds: number
  readonly ord: number
  readonly updatedFields?: string
  readonly txnNumber?: number
}

/** The text of a record of the MongoDB connector 3.6: rows are Extended JSON in a string. */
export function mongoChange({
  op = 'u',
  before = null,
  after = null,
  seconds,
  ord,
  updatedFields,
  txnNumber,
}: MongoChange): string {
  return JSON.stringify({
    before,
    after,
    updateDescription:
      updatedFields === undefined ? null : { removedFields: ['old'], updatedFields, truncatedArrays: null },
    source: {
      version: '3.6.1.Final',
      connector: 'mongodb',
      name: 'crm',
      ts_ms: seconds * 1000,
      snapshot: op === 'r' ? 'true' : 'false',
      db: 'crm',
      sequence: null,
      ts_us: seconds * 1_000_000,
      ts_ns: seconds * 1_000_000_000,
      collection: 'people',
      ord,
      lsid: txnNumber === undefined ? null : '{"id": 1}',
      txnNumber: txnNumber ?? null,
      wallTime: seconds * 1000,
    },
    transaction: null,
    op,
    ts_ms: seconds * 1000 + 40,
  })
}
