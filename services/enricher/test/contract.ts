import type { Contract } from '@mesh/shared/core/contract'

/** A contract for tests: a keyed stream without joins, one minute of dedupe. */
export function contractOf(changes: Partial<Contract> & { refineWith?: Partial<Contract['refine']> }): Contract {
  const { refineWith, ...top } = changes
  return {
    name: 'orders',
    description: 'orders of a shop',
    owner: 'shop@example.com',
    key: ['/id'],
    eventId: null,
    eventTime: null,
    ingest: [],
    validateAtIngest: false,
    raw: { partitions: 1, retentionMs: 604_800_000 },
    refine: {
      schema: 'refined.avsc',
      guarantee: 'at-least-once',
      dedupeWindowMs: 60_000,
      joins: [],
      cleanup: 'delete',
      retentionMs: 604_800_000,
      ...refineWith,
    },
    lake: { bronze: { format: 'parquet' }, silver: { format: 'parquet' } },
    warehouse: { table: 'ORDERS', mode: 'append' },
    ...top,
  }
}
