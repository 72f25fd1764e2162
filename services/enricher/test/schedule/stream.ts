import { deadLetter, drop, ok, type Refine, tombstone } from '@mesh/client/refine'
import { header, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import type { RefineCode } from '../../src/core/decide.ts'
import type { JoinedRow } from '../../src/core/joins.ts'
import { contractOf } from '../contract.ts'
import type { seeded } from '../seeded.ts'

export const STREAM = 'orders'
export const PARTITIONS = 2
/** The last one comes after everything has healed. */
export const RECORDS_PER_PARTITION = 15
export const HEALED_MS = 5000
const WAIT_MS = 5000

export type Guarantee = 'at-least-once' | 'exactly-once'
export type Faults = {
  readonly guarantee: Guarantee
  readonly zombies: boolean
  readonly waits: boolean
  /** The version is a candidate: it begins with a history on its replay topic, and goes on with raw. */
  readonly replays?: boolean
}
export type Random = ReturnType<typeof seeded>

/** What a record of the schedule asks for. */
type Event = { readonly n: number; readonly c?: string; readonly does?: string; readonly parts?: number }

const refine: Refine<Event> = (event, { joins }) => {
  const record = { n: event.n, customer: joins['customer']?.['name'] ?? null }
  switch (event.does) {
    case 'drop':
      return drop('told to')
    case 'refuse':
      return deadLetter('ODD', 'told to')
    case 'throw':
      // A dead letter carries the stack: a seed must not mean another schedule where the paths are longer.
      throw Object.assign(new RangeError('told to'), { stack: 'RangeError: told to' })
    case 'delete':
      return tombstone()
    case undefined:
    default:
      return event.parts === undefined
        ? ok(record)
        : ok(Array.from({ length: event.parts }, (_, i) => ({ record: { ...record, part: i }, subKey: `${i}` })))
  }
}

export function scheduleCode({ guarantee, waits }: Faults): RefineCode {
  const onMissing = { waitMs: WAIT_MS, giveUp: 'dead-letter' } as const
  const joins = waits ? [{ stream: 'customers', as: 'customer', on: '/c', onMissing }] : []
  return {
    codeHash: 'code',
    codeHeader: header('mesh-code', 'code'),
    contractHash: 'contract',
    contract: contractOf({ refineWith: { guarantee, dedupeWindowMs: 60_000, joins } }),
    refine: refine as Refine,
    encode: (record) => Buffer.concat([Buffer.alloc(5), Buffer.from(JSON.stringify(record))]),
  }
}

/** Rows by key, each from its time on; what has none never comes. The same for every process. */
export type Rows = ReadonlyMap<string, number>

export const rowOf = (key: string): JoinedRow => ({
  src: `main;customers;0;${key};0`,
  record: { name: `name of ${key}` },
})

/** Half of the customers are known; others come, one never does. */
export function rowsOf(random: Random, begin: number): Rows {
  const rows = new Map<string, number>()
  for (let c = 0; c < 7; c++) rows.set(`c${c}`, random.chance(0.4) ? begin : begin + random.below(4500))
  return rows
}

const DOES = ['drop', 'refuse', 'throw', 'delete'] as const

/** In bursts, so that one step parks, emits and refuses. */
export function records(random: Random): { at: number; record: RecordToSend }[] {
  const all: { at: number; record: RecordToSend }[] = []
  let burst = 0
  for (let n = 0; n < RECORDS_PER_PARTITION * PARTITIONS; n++) {
    const event: Event = {
      n,
      c: `c${random.below(8)}`,
      ...(random.chance(0.25) && { does: DOES[random.below(DOES.length)]! }),
      ...(random.chance(0.3) && { parts: random.below(4) }),
    }
    const value = random.chance(0.05) ? textBytes('{') : random.chance(0.05) ? null : textBytes(JSON.stringify(event))
    const id = random.chance(0.2) ? `again-${random.below(4)}` : `id-${n}`
    const partition = n % PARTITIONS
    if (random.chance(0.25)) burst = n * 80 + random.below(200)
    all.push({
      // A commit that was late may have overtaken the last one: another one sets it right.
      at: n < PARTITIONS * (RECORDS_PER_PARTITION - 1) ? burst : HEALED_MS + 1000,
      record: { partition, key: textBytes(`k${random.below(4)}`), value, headers: [header('ce_id', id)] },
    })
  }
  return all
}
