import { renderColumns } from '../table.ts'
import type { Compaction } from './compact.ts'
import type { Retention } from './retain.ts'

export function renderCompaction(chains: readonly Compaction[], dryRun: boolean): string {
  const touched = chains.filter(({ merged }) => merged > 0)
  if (touched.length === 0) return 'Nothing to merge.'
  const rows = touched.map((c) => [
    c.chain,
    ...[c.objects, c.merged, c.mergedBytes, c.created, c.createdBytes].map(String),
  ])
  const header = ['chain', 'objects', dryRun ? 'to merge' : 'merged', 'bytes', 'into', 'bytes']
  return renderColumns([header, ...rows])
}

export function renderRetention(chains: readonly Retention[], dryRun: boolean): string {
  const rows = chains
    .filter(({ deleted, waiting, dropped }) => deleted > 0 || waiting > 0 || dropped !== null)
    .map(({ chain, deleted, deletedBytes, waiting, dropped }) => [
      chain,
      ...[deleted, deletedBytes, waiting].map(String),
      dropped ? `[${dropped.from}, ${dropped.to}) ${dropped.rows} rows` : '',
    ])
  const header = ['chain', dryRun ? 'to delete' : 'deleted', 'bytes', 'waiting', dryRun ? 'to drop' : 'dropped']
  return rows.length === 0 ? 'Nothing to delete.' : renderColumns([header, ...rows])
}
