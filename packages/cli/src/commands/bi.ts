import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { MeshError } from '@mesh/shared/core/errors'
import { type DbtManifest, readManifest } from '@mesh/shared/lineage/dbt-manifest'
import { DBT_FOLDER, type DbtState, dbtFiles, STATE_FILE } from '../bi/dbt-state.ts'
import { EXPOSURES_FILE, renderExposures } from '../bi/exposures.ts'
import { parseMetrics } from '../bi/metrics.ts'
import { renderBi } from '../bi/render.ts'
import type { Command, CommandContext } from '../command.ts'
import { installDbt } from '../stack/dbt.ts'
import { warehouseFiles } from '../stack/environment.ts'
import { requireFreePorts } from '../stack/ports.ts'
import { stateLayout } from '../stack/state.ts'
import { startSuperset } from '../stack/superset.ts'

const SUPERSET_PORT = 8089

export const bi: Command = {
  name: 'bi',
  summary: 'make exposures, LookML, Power BI and Superset files of the metrics over gold; show gold in Superset',
  usage: 'generate | superset',
  options: { port: { type: 'string', value: 'PORT', doc: 'where Superset listens; default 8089' } },
  async run(context) {
    const [action, ...rest] = context.positionals
    if (rest.length > 0 || (action !== 'generate' && action !== 'superset'))
      throw new MeshError('MESH_CLI_USAGE', 'usage: mesh bi generate | mesh bi superset [--port PORT]')
    return action === 'generate' ? generate(context) : serveSuperset(context)
  },
}

async function generate(context: CommandContext): Promise<number> {
  const project = context.projectDir()
  const definitions = parseMetrics(await readFile(join(project, DBT_FOLDER, 'metrics.yaml'), 'utf8'))
  await writeFile(join(project, DBT_FOLDER, EXPOSURES_FILE), renderExposures(definitions))
  const manifest = await parseProject(context, join(project, DBT_FOLDER))
  const folder = join(project, 'transforms', 'bi')
  const files = renderBi(definitions, manifest)
  // What is generated no longer must not stay.
  for (const kind of ['lookml', 'tmdl', 'superset']) await rm(join(folder, kind), { recursive: true, force: true })
  for (const [name, text] of files) await write(join(folder, name), text)
  const state: DbtState = { files: await dbtFiles(project), manifest }
  await write(join(project, STATE_FILE), `${JSON.stringify(state, null, 2)}\n`)
  if (context.json) context.print(JSON.stringify({ folder, files: [...files.keys()] }, null, 2))
  else context.print(`${files.size} files in ${folder}`)
  return 0
}

/** dbt's own reading of the project; it needs no warehouse. @throws MeshError MESH_BI_INVALID with what dbt says */
async function parseProject(context: CommandContext, project: string): Promise<DbtManifest> {
  const python = await installDbt({
    folder: join(context.codeDir, DBT_FOLDER),
    cache: stateLayout(context.stateDir()).cache,
    env: context.env,
    signal: context.signal,
    onProgress: (text) => context.note(`dbt ${text}`),
  })
  const target = await mkdtemp(join(tmpdir(), 'mesh-bi-'))
  try {
    const args = ['--project-dir', project, '--profiles-dir', project, '--target-path', target, '--log-path', target]
    await promisify(execFile)(python, ['-m', 'dbt.cli.main', '--no-use-colors', 'parse', ...args], {
      cwd: project,
      env: {
        ...context.env,
        MESH_LANDING_FILE: join(target, 'landing.duckdb'),
        MESH_GOLD_FILE: join(target, 'gold.duckdb'),
        MESH_DBT_PLUGINS: join(context.codeDir, DBT_FOLDER, 'plugins'),
      },
    }).catch((error: unknown) => {
      throw new MeshError('MESH_BI_INVALID', 'dbt cannot read the project', { cause: error })
    })
    return readManifest(JSON.parse(await readFile(join(target, 'manifest.json'), 'utf8')))
  } finally {
    await rm(target, { recursive: true, force: true })
  }
}

/** Until Ctrl-C. */
async function serveSuperset(context: CommandContext): Promise<number> {
  const layout = stateLayout(context.stateDir())
  const goldFile = warehouseFiles(layout).gold
  if (!existsSync(goldFile))
    throw new MeshError('MESH_BI_INVALID', `there is no gold yet (${goldFile}): npm start makes it`)
  const port = Number(context.text('port') ?? SUPERSET_PORT)
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new MeshError('MESH_CLI_USAGE', `--port is ${context.text('port')}: a number from 1 to 65535`)
  await requireFreePorts({ superset: port })
  const { url, user, password, child } = await startSuperset({
    folder: join(context.codeDir, 'transforms', 'superset'),
    boards: join(context.projectDir(), 'transforms', 'bi', 'superset'),
    goldFile,
    layout,
    port,
    env: context.env,
    signal: context.signal,
    onProgress: (text) => context.note(`superset ${text}`),
  })
  context.print(`${url}/dashboard/list/  user ${user}  password ${password}  (Ctrl-C stops it)`)
  context.signal.addEventListener('abort', () => void child.stop())
  if (context.signal.aborted) await child.stop()
  const { code } = await child.exited
  return context.signal.aborted ? 0 : (code ?? 1)
}

async function write(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, text)
}
