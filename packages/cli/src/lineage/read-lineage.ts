import { join } from 'node:path'
import { modelLineage } from '@mesh/shared/lineage/dbt-lineage'
import { parseSelects } from '@mesh/shared/lineage/sql-tree'
import { loadStreamFolder, type StreamFolder } from '@mesh/shared/schema/stream-folder'
import { readDbtState } from '../bi/dbt-state.ts'
import { streamNames } from '../streams/project.ts'
import { type LineageGraph, lineageGraph } from './graph.ts'

export type ProjectLineage = {
  readonly graph: LineageGraph
  /** Why gold is missing or out of date; null when it is neither. */
  readonly remark: string | null
}

/** From the files of a project alone: nothing has to run. */
export async function readProjectLineage(projectDir: string): Promise<ProjectLineage> {
  const folder = join(projectDir, 'streams')
  const streams: StreamFolder[] = []
  for (const name of await streamNames(folder)) streams.push(await loadStreamFolder(join(folder, name)))
  const { manifest, remark } = await readDbtState(projectDir)
  return { graph: lineageGraph(streams, manifest, await modelLineage(manifest, parseSelects)), remark }
}
