import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { MeshError } from '@mesh/shared/core/errors'
import { GOLD_URI } from '../bi/superset.ts'
import { HOST } from './ports.ts'
import { type Environment, type ManagedChild, startChild } from './process.ts'
import { type EngineRequest, installPythonEngine } from './python-engine.ts'
import { pidFile, type StateLayout } from './state.ts'

export interface SupersetOptions {
  /** `transforms/superset`: its lock and its configuration. */
  readonly folder: string
  /** `transforms/bi/superset`: the dashboards as code. */
  readonly boards: string
  readonly goldFile: string
  readonly layout: StateLayout
  readonly port: number
  readonly env: Environment
  readonly signal?: AbortSignal
  readonly onProgress?: (text: string) => void
}

export interface Superset {
  readonly url: string
  readonly user: string
  readonly password: string
  readonly child: ManagedChild
}

const USER = 'admin'
/** Measured on two busy cores: 20 s. */
const READY_MS = 240_000

/** Apache Superset with the dashboards over gold: installed on first use, its own database under the stack's state, the boards imported anew. */
export async function startSuperset(options: SupersetOptions): Promise<Superset> {
  const { folder, boards, goldFile, layout, port, signal, onProgress } = options
  const request: EngineRequest = { ...options, name: 'superset', folder, cache: layout.cache }
  const python = await installPythonEngine(request)
  const home = join(layout.root, 'superset')
  mkdirSync(home, { recursive: true })
  const { key, password } = keptSecrets(join(home, 'secrets.json'))
  const env: Environment = {
    ...options.env,
    FLASK_APP: 'superset',
    SUPERSET_HOME: home,
    SUPERSET_SECRET_KEY: key,
    SUPERSET_CONFIG_PATH: join(folder, 'superset_config.py'),
  }
  const run = (program: string, args: readonly string[]): Promise<void> => step(program, args, { env, home, signal })
  const superset = join(dirname(python), 'superset')
  onProgress?.('preparing its database')
  await run(superset, ['db', 'upgrade'])
  if (!existsSync(join(home, 'prepared'))) {
    const person = ['--firstname', 'Mesh', '--lastname', 'Admin', '--email', 'admin@example.com']
    await run(superset, ['fab', 'create-admin', '--username', USER, '--password', password, ...person])
    await run(superset, ['init'])
    writeFileSync(join(home, 'prepared'), '')
  }
  onProgress?.('importing the dashboards')
  const bundle = join(home, 'boards')
  rmSync(bundle, { recursive: true, force: true })
  cpSync(boards, bundle, { recursive: true })
  pointAt(goldFile, join(bundle, 'databases', 'mesh_gold.yaml'))
  await run(python, ['-m', 'zipfile', '-c', `${bundle}.zip`, bundle])
  await run(superset, ['import-dashboards', '--path', `${bundle}.zip`, '--username', USER])
  const url = `http://${HOST}:${port}`
  const child = await startChild(
    {
      name: 'superset',
      command: join(dirname(python), 'gunicorn'),
      args: [
        '--workers',
        '1',
        '--threads',
        '8',
        '--timeout',
        '120',
        '--bind',
        `${HOST}:${port}`,
        'superset.app:create_app()',
      ],
      env,
      cwd: home,
      logFile: join(layout.logs, 'superset.log'),
      pidFile: pidFile(layout, 'superset'),
      isReady: async () => (await fetch(`${url}/health`)).ok,
      readyTimeoutMs: READY_MS,
      stopTimeoutMs: 10_000,
    },
    signal,
  )
  return { url, user: USER, password, child }
}

/** @throws MeshError MESH_BI_INVALID when the bundle has no place for the gold file */
function pointAt(goldFile: string, databaseFile: string): void {
  const text = readFileSync(databaseFile, 'utf8')
  if (!text.includes(GOLD_URI)) throw new MeshError('MESH_BI_INVALID', `${databaseFile} does not name ${GOLD_URI}`)
  writeFileSync(
    databaseFile,
    text.replace(GOLD_URI, () => GOLD_URI.replace('/gold.duckdb', () => goldFile)),
  )
}

function keptSecrets(file: string): { readonly key: string; readonly password: string } {
  if (!existsSync(file)) {
    const made = { key: randomBytes(42).toString('base64'), password: randomBytes(12).toString('base64url') }
    writeFileSync(file, `${JSON.stringify(made, null, 2)}\n`, { mode: 0o600 })
  }
  return JSON.parse(readFileSync(file, 'utf8')) as { key: string; password: string }
}

async function step(
  program: string,
  args: readonly string[],
  { env, home, signal }: { env: Environment; home: string; signal: AbortSignal | undefined },
): Promise<void> {
  const options = { cwd: home, env: { ...env }, maxBuffer: 64 * 1024 * 1024, ...(signal ? { signal } : {}) }
  await promisify(execFile)(program, [...args], options).catch((error: Error & { stderr?: string }) => {
    const last = (error.stderr ?? error.message).trim().split('\n').slice(-5).join('\n')
    throw new MeshError('MESH_STACK_CHILD_FAILED', `superset ${args[0]} failed: ${last}`)
  })
}
