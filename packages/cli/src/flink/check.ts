import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isMeshError } from '@mesh/shared/core/errors'
import { parseRecordAvsc } from '@mesh/shared/schema/avro-schema'
import { parseContractYaml } from '@mesh/shared/schema/contract-yaml'
import { flinkColumns, watermarkProblem } from '@mesh/shared/schema/flink-columns'
import { FLINK_VALUES, parseFlinkScript } from '@mesh/shared/schema/flink-script'
import type { JobDefinition } from '@mesh/shared/schema/job-file'
import type { JobFile } from '@mesh/shared/schema/jobs-folder'
import { loadStreamFolder } from '@mesh/shared/schema/stream-folder'

export type FlinkCheckProblem = {
  /** The stream whose schema it is; null for one of a script. */
  readonly stream: string | null
  /** `file:line: reason`. */
  readonly text: string
}

/** What Flink would refuse of a project's jobs: their scripts, and the schemas of the streams that they read. */
export async function flinkProblems(project: string, files: readonly JobFile[]): Promise<FlinkCheckProblem[]> {
  const jobs = files.flatMap(({ file, text, job }) => (job?.engine === 'flink' ? [{ file, text, job }] : []))
  const scripts = jobs.flatMap((each) => scriptProblems(project, each))
  const readers = new Map<string, string>()
  for (const { file, job } of jobs) for (const { stream } of job.inputs) readers.set(stream, file)
  const schemas = await Promise.all([...readers].map(([stream, file]) => schemaProblems(project, stream, file)))
  const watermarks = await Promise.all(jobs.map((each) => watermarkProblems(project, each)))
  return [...scripts, ...schemas.flat(), ...watermarks.flat()]
}

type FlinkJobFile = { readonly file: string; readonly text: string; readonly job: JobDefinition }

function scriptProblems(project: string, { file, text, job }: FlinkJobFile): FlinkCheckProblem[] {
  const { sql, vars = {} } = job.options as { readonly sql: string; readonly vars?: Readonly<Record<string, string>> }
  if (!existsSync(join(project, sql))) {
    const line = parseContractYaml(text, file).lineOf(['flink', 'sql'])
    return [{ stream: null, text: `${file}:${line}: there is no script ${sql}` }]
  }
  const known = Object.fromEntries(FLINK_VALUES.map((name) => [name, name]))
  const { problems } = parseFlinkScript(readFileSync(join(project, sql), 'utf8'), { ...vars, ...known })
  return problems.map(({ line, reason }) => ({ stream: null, text: `${sql}:${line}: ${reason} (${file})` }))
}

async function schemaProblems(project: string, stream: string, job: string): Promise<FlinkCheckProblem[]> {
  try {
    const { contract, refinedAvsc } = await loadStreamFolder(join(project, 'streams', stream))
    const file = `streams/${stream}/${contract.refine.schema}`
    return flinkColumns(parseRecordAvsc(refinedAvsc)).problems.map(({ field, reason }) => ({
      stream,
      text: `${file}:${lineOfField(refinedAvsc, field)}: the field ${field} ${reason} (read by ${job})`,
    }))
  } catch (error) {
    if (!isMeshError(error)) throw error
    return [{ stream, text: error.message }]
  }
}

async function watermarkProblems(project: string, { file, text, job }: FlinkJobFile): Promise<FlinkCheckProblem[]> {
  const { watermarks = {} } = job.options as { readonly watermarks?: Readonly<Record<string, { column: string }>> }
  const found = await Promise.all(
    Object.entries(watermarks).map(async ([stream, { column }]) => {
      const folder = await loadStreamFolder(join(project, 'streams', stream)).catch(nothing)
      const problem = folder && watermarkProblem(flinkColumns(parseRecordAvsc(folder.refinedAvsc)).columns, column)
      const line = parseContractYaml(text, file).lineOf(['flink', 'watermarks', stream, 'column'])
      return problem ? [{ stream: null, text: `${file}:${line}: ${problem}` }] : []
    }),
  )
  return found.flat()
}

/** A folder that cannot be read is told by the check of its schema. */
const nothing = (): null => null

/** Of `a.b`: the first `b` from the first `a` on. Names are found as they are written in an .avsc. */
export function lineOfField(avsc: string, field: string): number {
  let at = 0
  for (const name of field.split('.')) {
    const found = new RegExp(`"name"\\s*:\\s*"${name}"`).exec(avsc.slice(at))
    at += found?.index ?? 0
  }
  return avsc.slice(0, at).split('\n').length
}
