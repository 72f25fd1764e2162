import { formatHash, type HashSum, parseHash, subtractHash } from '@mesh/shared/core/books'
import { cellText, queryWarehouse } from '../warehouse-reader.ts'
import type { LayerBooks } from './books.ts'

export type LandingCut = { readonly partition: number; readonly refinedOffset: number; readonly rawOffset: number }
export type LandingBooks = LayerBooks & { readonly behind: boolean }

/**
 * Landing's books at the cut, per partition: the ledger, less the rows whose raw offset lies at or above X. The rows below X
 * are also counted in the table itself, so a ledger that claims rows which are not there does not pass.
 */
export async function readLandingBooks(
  warehouseFile: string,
  at: { stream: string; version: number; table: string; rawTopicId: string; refinedTopicId: string },
  cuts: readonly LandingCut[],
): Promise<Map<number, LandingBooks>> {
  if (cuts.length === 0) return new Map()
  const ledger = await rowsOrNone(
    warehouseFile,
    `select "partition", next_offset, hash from _mesh_ledger
     where stream = ${text(at.stream)} and version = ${at.version} and topic_id = ${text(at.refinedTopicId)}`,
  )
  const below = cuts.map((cut) => `(_partition = ${cut.partition} and _offset < ${cut.rawOffset})`).join(' or ')
  const counted = await rowsOrNone(
    warehouseFile,
    `select _partition, count(*) as n from "${at.table}" where _topic_id = ${text(at.rawTopicId)} and (${below}) group by 1`,
  )
  const above = cuts.map((cut) => `(_partition = ${cut.partition} and _offset >= ${cut.rawOffset})`).join(' or ')
  const later = await rowsOrNone(
    warehouseFile,
    `select _partition, _hash from "${at.table}" where _topic_id = ${text(at.rawTopicId)} and (${above})`,
  )
  const books = new Map<number, LandingBooks>()
  for (const cut of cuts) {
    const entry = ledger.find((row) => Number(row['partition']) === cut.partition)
    let hash: HashSum = parseHash(cellText(entry?.['hash'] ?? '0'))
    for (const row of later) {
      if (Number(row['_partition']) === cut.partition) hash = subtractHash(hash, parseHash(cellText(row['_hash'])))
    }
    books.set(cut.partition, {
      records: Number(counted.find((row) => Number(row['_partition']) === cut.partition)?.['n'] ?? 0),
      hash: formatHash(hash),
      behind: Number(entry?.['next_offset'] ?? 0) < cut.refinedOffset,
    })
  }
  return books
}

/** No rows where the ledger or the table does not exist yet: nothing has been landed. */
async function rowsOrNone(file: string, sql: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  try {
    return (await queryWarehouse(file, sql)).rows
  } catch (error) {
    if (/does not exist|No such file/i.test(String((error as Error).cause ?? error))) return []
    throw error
  }
}

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}
