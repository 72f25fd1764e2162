import { formatHash, type HashSum, parseHash, subtractHash } from '@mesh/shared/core/books'
import { MAIN_LANE, PARKED_LANE } from '@mesh/shared/core/coordinate'
import { cellText, queryWarehouse } from '@mesh/shared/warehouse/duckdb-reader'
import type { LayerBooks } from './books.ts'
import type { Cut } from './cut.ts'

export type LandingCut = Cut & { readonly refinedOffset: number }
export type LandingBooks = LayerBooks & { readonly behind: boolean }

/**
 * Landing's books at the cut, per partition: the ledger, less the rows that the cut does not count. Those that it counts are also
 * counted in the table itself, so a ledger that claims rows which are not there does not pass.
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
  const within = cuts.map((cut) => `(_partition = ${cut.partition} and ${isCounted(cut)})`).join(' or ')
  const counted = await rowsOrNone(
    warehouseFile,
    `select _partition, count(*) as n from "${at.table}" where _topic_id = ${text(at.rawTopicId)} and (${within}) group by 1`,
  )
  const beyond = cuts.map((cut) => `(_partition = ${cut.partition} and not ${isCounted(cut)})`).join(' or ')
  const later = await rowsOrNone(
    warehouseFile,
    `select _partition, _hash from "${at.table}" where _topic_id = ${text(at.rawTopicId)} and (${beyond})`,
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

/** `isWithin`, in SQL. */
function isCounted({ position, parkedNext }: Cut): string {
  return `((_lane = '${MAIN_LANE}' and _offset < ${position}) or (_lane = '${PARKED_LANE}' and _offset < ${parkedNext}))`
}

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}
