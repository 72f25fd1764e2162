import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import type { DbtManifest } from '@mesh/shared/lineage/dbt-manifest'
import { lintLookml, lintTmdl } from './lint.ts'
import { renderLookml } from './lookml.ts'
import { goldModels, type Metrics } from './metrics.ts'
import { renderSuperset } from './superset.ts'
import { renderTmdl } from './tmdl.ts'

/** The BI files by path from `transforms/bi`. @throws MeshError MESH_BI_INVALID */
export function renderBi(definitions: Metrics, manifest: DbtManifest): Map<string, string> {
  const models = goldModels(definitions, manifest)
  const files = new Map<string, string>()
  const problems: string[] = []
  for (const [name, text] of renderLookml(models, definitions)) {
    files.set(join('lookml', name), text)
    problems.push(...lintLookml(name, text, models))
  }
  for (const [name, text] of renderTmdl(models, definitions)) {
    files.set(join('tmdl', name), text)
    problems.push(...lintTmdl(name, text, models))
  }
  for (const [name, text] of renderSuperset(models, definitions)) files.set(join('superset', name), text)
  if (problems.length > 0) throw new MeshError('MESH_BI_INVALID', problems.join('\n'))
  return files
}
