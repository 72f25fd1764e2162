import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import type { Command, CommandContext } from '../command.ts'
import { renderSources, SOURCES_FILE } from '../dbt/sources.ts'
import { runningMesh } from '../running-mesh.ts'
import { installDbt } from '../stack/dbt.ts'
import { stateLayout } from '../stack/state.ts'

export const dbt: Command = {
  name: 'dbt',
  summary: 'write dbt sources from stream contracts; install dbt; run it by hand on the local warehouse',
  usage: 'sources [--check] | install | run -- <dbt arguments>',
  options: {
    check: { type: 'boolean', doc: 'sources: change nothing; exit code 1 if the file is not what the contracts say' },
    dbt: { type: 'string', value: 'DIR', doc: 'the dbt project (default: transforms/dbt)' },
  },
  async run(context) {
    const [action, ...args] = context.positionals
    if (action === 'sources') return sources(context)
    if (action === 'install') {
      context.print(await install(context))
      return 0
    }
    if (action === 'run') return runDbt(context, args)
    throw new MeshError('MESH_CLI_USAGE', `dbt takes sources, install or run, not '${action ?? ''}'`)
  },
}

const folderOf = (context: CommandContext): string =>
  join(context.projectDir(), context.text('dbt') ?? join('transforms', 'dbt'))

async function sources(context: CommandContext): Promise<number> {
  const file = join(folderOf(context), SOURCES_FILE)
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

function install(context: CommandContext): Promise<string> {
  return installDbt({
    folder: join(context.codeDir, 'transforms', 'dbt'),
    cache: stateLayout(context.stateDir()).cache,
    env: context.env,
    signal: context.signal,
    onProgress: (text) => context.note(`dbt ${text}`),
  })
}

/** Without a run's input: every row of landing counts as new, read through the views over the live versions. */
async function runDbt(context: CommandContext, args: readonly string[]): Promise<number> {
  const python = await install(context)
  const mesh = runningMesh(context)
  const folder = folderOf(context)
  const target = join(stateLayout(context.stateDir()).services, 'dbt-by-hand')
  const own = ['--project-dir', folder, '--profiles-dir', folder, '--target-path', target, '--log-path', target]
  const child = spawn(python, ['-m', 'dbt.cli.main', ...args, ...own], {
    cwd: folder,
    stdio: 'inherit',
    env: {
      ...context.env,
      MESH_LANDING_FILE: mesh.warehouseFile,
      MESH_GOLD_FILE: mesh.goldFile,
      MESH_DBT_PLUGINS: join(context.codeDir, 'transforms', 'dbt', 'plugins'),
    },
  })
  const [code] = (await once(child, 'close')) as [number | null]
  await mesh.close()
  return code ?? 1
}
