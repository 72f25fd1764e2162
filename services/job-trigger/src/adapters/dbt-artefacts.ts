import { readFile, stat } from 'node:fs/promises'
import type { Run } from '@mesh/shared/core/runs'
import { modelLineage } from '@mesh/shared/lineage/dbt-lineage'
import { readManifest } from '@mesh/shared/lineage/dbt-manifest'
import { parseSelects } from '@mesh/shared/lineage/sql-tree'
import type { DbtArtefacts } from '../core/run-lineage.ts'

const MAX_BYTES = 64 * 1024 * 1024

/** The manifest that a dbt run left in its folder; null where there is none any more. @throws Error for one that cannot be read */
export async function readDbtArtefacts(run: Run): Promise<DbtArtefacts | null> {
  const file = run.engine === 'dbt' ? run.result?.artefacts['manifest.json'] : undefined
  if (file === undefined) return null
  const size = await stat(file).then(
    (found) => found.size,
    () => null,
  )
  if (size === null || size > MAX_BYTES) return null
  const manifest = readManifest(JSON.parse(await readFile(file, 'utf8')))
  return { manifest, lineage: await modelLineage(manifest, parseSelects) }
}
