import type { Contract, JoinRule } from './contract.ts'
import { partitionOf } from './partitioner.ts'

/** One side of a join: the partitions that a stream was applied with and the contracts of every bundle that the version runs. */
export type JoinSide = { readonly partitions: number; readonly contracts: readonly Contract[] }

/** Which part of a joined table an instance needs: that of each partition it has, or all of it; `reason` says why it is all. */
export type JoinScope = { readonly kind: 'partition' } | { readonly kind: 'global'; readonly reason: string }

const PARTITION: JoinScope = { kind: 'partition' }

/** Keys and partitions of their raw records are made by Kafka Connect, not by the gateway. */
const KEYED_ELSEWHERE: ReadonlySet<string> = new Set(['cdc', 'connect'])

/**
 * Local only where it can be proved from the contracts: the join key of an event is its own record key, key text for key text, and
 * both streams spread their keys over the same number of partitions in the same way.
 */
export function joinScope(rule: JoinRule, own: JoinSide, joined: JoinSide): JoinScope {
  if (rule.scope === 'global') return global('the contract asks for it (scope: global)')
  if (own.partitions !== joined.partitions) {
    return global(`the streams have ${own.partitions} and ${joined.partitions} partitions`)
  }
  if (own.contracts.length === 0 || joined.contracts.length === 0) return global('a contract is not known')
  for (const { key } of own.contracts) {
    if (key.length !== 1 || key[0] !== rule.on) {
      return global(`the key of an event is ${keyText(key)}, not ${rule.on}`)
    }
  }
  for (const { name, ingest } of [...own.contracts, ...joined.contracts]) {
    const elsewhere = ingest.find(({ kind }) => KEYED_ELSEWHERE.has(kind))
    if (elsewhere) return global(`the keys of ${name} are made by its connector (${elsewhere.kind})`)
  }
  return PARTITION
}

/** The joins of one table have one scope: where one of them needs all of it, the others find their rows there too. */
export function tableScope(rules: readonly JoinRule[], own: JoinSide, joined: JoinSide): JoinScope {
  const scopes = rules.map((rule) => joinScope(rule, own, joined))
  return scopes.find(({ kind }) => kind === 'global') ?? PARTITION
}

/** Two rules of one stream share a table when they keep the same history. */
export const tableName = ({ stream, asOf }: Pick<JoinRule, 'stream' | 'asOf'>): string =>
  `${stream}/${asOf?.historyMs ?? 'latest'}`

/**
 * Whether every row that may have this key lies in the partition: the key itself or, of a row with a sub key (`k/s`), what is before any
 * `/` of it is the raw record's key, and that one says the partition.
 */
export function liesIn(key: string, partition: number, partitions: number): boolean {
  const bytes = Buffer.from(key)
  if (partitionOf(bytes, partitions) !== partition) return false
  for (let at = bytes.indexOf(SLASH); at !== -1; at = bytes.indexOf(SLASH, at + 1)) {
    if (partitionOf(bytes.subarray(0, at), partitions) !== partition) return false
  }
  return true
}

/** Whether a row may lie in the partition by its key: false is the proof of another partitioner, or of another number of partitions. */
export function mayLieIn(key: string, partition: number, partitions: number): boolean {
  const bytes = Buffer.from(key)
  if (partitionOf(bytes, partitions) === partition) return true
  for (let at = bytes.indexOf(SLASH); at !== -1; at = bytes.indexOf(SLASH, at + 1)) {
    if (partitionOf(bytes.subarray(0, at), partitions) === partition) return true
  }
  return false
}

const SLASH = 0x2f

const global = (reason: string): JoinScope => ({ kind: 'global', reason })

function keyText(key: readonly string[]): string {
  if (key.length === 0) return 'its event id'
  return key.length === 1 ? key[0]! : `the first of ${key.join(', ')}`
}
