import { declaredSources } from '@mesh/shared/lineage/declared-sources'
import { columnsOf } from '@mesh/shared/schema/columns'
import type { Bundle } from '@mesh/shared/schema/port'
import type { StreamShape } from './commit-lineage.ts'

/** What a frozen bundle says of the columns of its version, and of the fields they are made from. */
export function streamShape({
  contract,
  refinedAvsc,
  files,
}: Pick<Bundle, 'contract' | 'refinedAvsc' | 'files'>): StreamShape {
  const columns = columnsOf(refinedAvsc).map(({ name, type }) => ({ name, type: type.kind }))
  const joins = [...new Set(contract.refine.joins.map(({ stream }) => stream))].sort()
  return { columns, joins, declared: declaredSources(refinedAvsc, contract.refine.joins, files.has('refine.mjs')) }
}
