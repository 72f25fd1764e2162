import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import type { Command, CommandContext } from '../command.ts'
import { dbtDocs } from '../dbt/docs.ts'
import { dbtFreshness } from '../dbt/freshness.ts'
import { dbtPython, invokeDbt, projectFolder } from '../dbt/invoke-dbt.ts'
import { renderSources, SOURCES_FILE } from '../dbt/sources.ts'
import { withMesh } from '../running-mesh.ts'

export const dbt: Command = {
  name: 'dbt',
  summary:
    'write dbt sources from stream contracts; install dbt; make its documentation; say how fresh its sources are; run it by hand',
  usage: 'sources [--check] | install | docs | freshness [stream...] | run -- <dbt arguments>',
  options: {
    check: { type: 'boolean', doc: 'sources: change nothing; exit code 1 if the file is not what the contracts say' },
    dbt: { type: 'string', value: 'DIR', doc: 'the dbt project (default: transforms/dbt)' },
  },
  async run(context) {
    const [action, ...args] = context.positionals
    if (action === 'sources') return sources(context)
    if (action === 'install') {
      context.print(await dbtPython(context))
      return 0
    }
    if (action === 'docs') return dbtDocs(context)
    if (action === 'freshness') return dbtFreshness(context, args)
    if (action === 'run') return runDbt(context, args)
    throw new MeshError('MESH_CLI_USAGE', `dbt takes sources, install, docs, freshness or run, not '${action ?? ''}'`)
  },
}

async function sources(context: CommandContext): Promise<number> {
  const file = join(projectFolder(context), SOURCES_FILE)
  const wanted = await renderSources(context.projectDir())
  const same = (await readFile(file, 'utf8').catch(() => '')) === wanted
  if (!same && !context.flag('check')) await writeFile(file, wanted)
  if (context.json) context.print(JSON.stringify({ file, changed: !same }))
  else
    context.print(
      same ? `${file} is what the contracts say` : `${file} ${context.flag('check') ? 'is out of date' : 'written'}`,
    )
  return same || !context.flag('check') ? 0 : 1
}

function runDbt(context: CommandContext, args: readonly string[]): Promise<number> {
  return withMesh(context, ({ warehouseFile, goldFile }) =>
    invokeDbt(context, args, { files: { landing: warehouseFile, gold: goldFile }, folder: 'dbt-by-hand', stdout: 1 }),
  )
}
