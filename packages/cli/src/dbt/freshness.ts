import { existsSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import { dbtSourceName, dbtSourceSelector } from '@mesh/shared/core/topics'
import type { CommandContext } from '../command.ts'
import { projectStreams } from '../streams/project.ts'
import { dbtFiles, invokeDbt, targetFolder } from './invoke-dbt.ts'
import { renderSourceAges, sourceAges } from './source-ages.ts'

const FOLDER = 'dbt-freshness'

/**
 * How old the newest rows of landing tables are, by the warehouse-sink's ledger. @returns 1 where one is older than its `error_after`,
 * or could not be asked
 * @param streams none: all of them
 * @throws MeshError MESH_STREAM_UNKNOWN, MESH_STACK_NOT_RUNNING
 */
export async function dbtFreshness(context: CommandContext, streams: readonly string[]): Promise<number> {
  const chosen = await projectStreams(context.projectDir(), streams)
  const { landing } = dbtFiles(context)
  if (!existsSync(landing)) throw new MeshError('MESH_STACK_NOT_RUNNING', 'nothing has landed yet', { place: landing })
  const target = targetFolder(context, FOLDER)
  const file = join(target, 'sources.json')
  // dbt writes it only where it came to results: an earlier one must not stand for it.
  await rm(file, { force: true })
  const select = chosen.map(dbtSourceSelector)
  const args = ['--quiet', 'source', 'freshness', '--select', ...select]
  // Gold is not asked, so dbt has an empty one of its own and keeps nobody waiting.
  const files = { landing, gold: join(target, 'unused.duckdb') }
  const code = await invokeDbt(context, args, { files, folder: FOLDER, stdout: 2 })
  if (!existsSync(file)) return code === 0 ? 1 : code
  const ages = sourceAges(await readFile(file, 'utf8'))
  context.print(context.json ? JSON.stringify(ages, null, 2) : renderSourceAges(ages))
  const silent = chosen.filter((stream) => !ages.some(({ table }) => table === dbtSourceName(stream)))
  if (silent.length === 0) return code
  context.note(
    `dbt has no answer for ${silent.join(', ')}: what it says stands above, else there is no source (\`mesh dbt sources\`) or no freshness in dbt_project.yml`,
  )
  return code === 0 ? 1 : code
}
