import { createHash } from 'node:crypto'
import { parseJson } from '@mesh/shared/core/json-text'
import type { ChangePosition } from './debezium.ts'
import { isUnavailable } from './unavailable-values.ts'

type Row = Readonly<Record<string, unknown>>

/** What is known of one key: how far its changes and its snapshot reads have come, and the row as it was left. */
export type KeyHistory = {
  readonly server: string
  /** Highest position of a change; null before the first one. */
  readonly changed: bigint | null
  /** Highest position of a snapshot row; null before the first one. */
  readonly read: bigint | null
  /** Digest of the last record, kept only where several changes may share a position. */
  readonly digest: string | null
  /** JSON of the row; null: deleted, never seen or not needed. Columns that no record has shown yet hold Debezium's placeholder. */
  readonly row: string | null
}

/** One line of positions, then the row: the row is read only where a record lacks a value. */
export function formatHistory({ server, changed, read, digest, row }: KeyHistory): string {
  const head = JSON.stringify([server, changed?.toString() ?? null, read?.toString() ?? null, digest])
  return row === null ? head : `${head}\n${row}`
}

export function parseHistory(text: string | null): KeyHistory | null {
  if (text === null) return null
  const end = text.indexOf('\n')
  const head = JSON.parse(end === -1 ? text : text.slice(0, end)) as [
    string,
    string | null,
    string | null,
    string | null,
  ]
  const [server, changed, read, digest] = head
  return {
    server,
    changed: changed === null ? null : BigInt(changed),
    read: read === null ? null : BigInt(read),
    digest,
    row: end === -1 ? null : text.slice(end + 1),
  }
}

export function rowText(row: Row): string {
  try {
    return JSON.stringify(row)
  } catch (error) {
    // Integers beyond 2^53 need the slower way.
    if (!(error instanceof TypeError)) throw error
    return JSON.stringify(row, (_, value: unknown) => (typeof value === 'bigint' ? rawJson(value.toString()) : value))
  }
}

export const parseRow = (text: string | null): Row | null => (text === null ? null : (parseJson(text) as Row))

/**
 * True for a record that says nothing new: at or below what its key has seen. A change is held against changes alone: a snapshot
 * row's position is where the log stood when it was read, and a transaction that was open then commits changes of a lower position
 * later. A snapshot row is held against both, and one at the position of a change is the older of the two.
 */
export function isSuperseded(known: KeyHistory | null, next: ChangePosition, digest: string | null): boolean {
  if (known === null || known.server !== next.server) return false
  const { changed, read } = known
  if (next.snapshot) return (read !== null && next.log <= read) || (changed !== null && next.log <= changed)
  if (changed === null || next.log > changed) return false
  return next.log < changed || digest === null || digest === known.digest
}

/** The history after a record that was not superseded. */
export function advance(
  known: KeyHistory | null,
  next: ChangePosition,
  { digest, row }: Pick<KeyHistory, 'digest' | 'row'>,
): KeyHistory {
  const same = known !== null && known.server === next.server ? known : null
  return {
    server: next.server,
    changed: next.snapshot ? (same?.changed ?? null) : next.log,
    read: next.snapshot ? next.log : (same?.read ?? null),
    digest,
    row,
  }
}

/** What tells two changes of one position apart; null where a position is a change's own. */
export function digestOf(position: ChangePosition, value: Uint8Array): string | null {
  return position.shared ? createHash('sha256').update(value).digest('base64url').slice(0, 22) : null
}

/**
 * The row with every unavailable value put in from the first of `sources` that has it; `lacking` names the columns that none has.
 * An unchanged TOASTed value is never NULL, so a NULL in a source only says that the source does not know it.
 */
export function fillRow(row: Row, sources: readonly (Row | null)[]): { row: Row; lacking: readonly string[] } {
  const filled: Record<string, unknown> = { ...row }
  const lacking: string[] = []
  for (const [column, value] of Object.entries(row)) {
    if (!isUnavailable(value)) continue
    const source = sources.find((other) => knows(other, column))
    if (source) filled[column] = source[column]
    else lacking.push(column)
  }
  return { row: filled, lacking }
}

function knows(row: Row | null, column: string): row is Row {
  if (row === null || !Object.hasOwn(row, column)) return false
  const value = row[column]
  return value !== null && value !== undefined && !isUnavailable(value)
}

const rawJson = (JSON as unknown as { rawJSON(this: void, text: string): unknown }).rawJSON
