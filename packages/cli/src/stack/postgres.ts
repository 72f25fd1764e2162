import { execFileSync } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import { HOST } from './ports.ts'
import type { ChildSpec, Environment } from './process.ts'
import type { ExtraServer } from './stack.ts'
import { pidFile } from './state.ts'

export interface PostgresOptions {
  /** Its data folder is made on the first start. */
  readonly folder: string
  readonly port: number
  readonly env: Environment
  readonly logFile: string
  readonly pidFile: string
  /** More lines of postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>
}

const OLDEST = 13
const FOLDERS: readonly string[] = ['/usr/lib/postgresql', '/opt/homebrew/opt', '/usr/local/opt']
/** The account that the server runs as when this process is root, which PostgreSQL refuses. */
const ACCOUNT = 'postgres'

/** A PostgreSQL server that lets changes out (`wal_level=logical`); everyone on this machine may log in as `postgres`. */
export function postgresSpec(options: PostgresOptions): ChildSpec {
  const { folder, port } = options
  const bin = findPostgres(options.env['PATH'])
  const account = accountOf()
  mkdirSync(folder, { recursive: true })
  if (account) chownSync(folder, account.uid, account.gid)
  const dataDir = join(folder, 'data')
  if (!existsSync(join(dataDir, 'PG_VERSION'))) {
    const [command, args] = as(account, join(bin, 'initdb'), initArguments(dataDir))
    initialise(command, args, account)
  }
  writeFileSync(join(dataDir, 'mesh.conf'), configuration(options))
  const settings = ['-D', dataDir, '-c', `config_file=${join(dataDir, 'postgresql.conf')}`]
  writeFileSync(join(dataDir, 'postgresql.conf'), "include 'mesh.conf'\n")
  const [command, args] = as(account, join(bin, 'postgres'), settings)
  return {
    name: 'postgres',
    command,
    args,
    env: options.env,
    cwd: folder,
    logFile: options.logFile,
    pidFile: options.pidFile,
    isReady: () => answers(port),
    readyTimeoutMs: 60_000,
    stopTimeoutMs: 20_000,
    // SIGTERM would wait until every client has gone by itself.
    stopSignal: 'SIGINT',
  }
}

/** The folder with `postgres` and `initdb`, the newest version there is. @throws MeshError MESH_STACK_POSTGRES_MISSING */
export function findPostgres(path: string | undefined): string {
  const versions = FOLDERS.filter((folder) => existsSync(folder)).flatMap((folder) =>
    readdirSync(folder).flatMap((name) => {
      const version = Number(/^(?:postgresql@?)?(\d+)$/.exec(name)?.[1] ?? 0)
      return version >= OLDEST ? [{ version, bin: join(folder, name, 'bin') }] : []
    }),
  )
  const sorted = versions.sort((a, b) => b.version - a.version).map(({ bin }) => bin)
  const found = [...sorted, ...(path ?? '').split(delimiter)].find(
    (bin) => bin !== '' && existsSync(join(bin, 'initdb')) && existsSync(join(bin, 'postgres')),
  )
  if (found) return found
  throw new MeshError('MESH_STACK_POSTGRES_MISSING', 'no PostgreSQL server is installed (postgres, initdb)')
}

function initialise(command: string, args: readonly string[], account: Account | null): void {
  try {
    execFileSync(command, args, { cwd: '/', stdio: 'pipe' })
  } catch (error) {
    const { stderr } = error as { stderr?: Buffer }
    const who = account ? ` as the account ${ACCOUNT}, since PostgreSQL refuses root` : ''
    const text = `initdb failed${who}: ${stderr?.toString().trim() ?? String(error)}`
    throw new MeshError('MESH_STACK_CHILD_FAILED', text, { cause: error })
  }
}

function initArguments(dataDir: string): string[] {
  return ['-D', dataDir, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync']
}

function configuration({ folder, port, settings }: PostgresOptions): string {
  const lines: Record<string, string> = {
    listen_addresses: HOST,
    port: String(port),
    unix_socket_directories: folder,
    wal_level: 'logical',
    max_wal_senders: '10',
    max_replication_slots: '10',
    // A test or a demonstration on one machine: a power cut may cost it, a kill -9 does not.
    fsync: 'off',
    ...settings,
  }
  return Object.entries(lines)
    .map(([key, value]) => `${key} = '${value}'\n`)
    .join('')
}

type Account = { readonly uid: number; readonly gid: number }

function accountOf(): Account | null {
  if (process.getuid?.() !== 0) return null
  const id = (flag: string): number => Number(execFileSync('id', [flag, ACCOUNT], { encoding: 'utf8' }))
  try {
    return { uid: id('-u'), gid: id('-g') }
  } catch (error) {
    throw new MeshError('MESH_STACK_POSTGRES_MISSING', `PostgreSQL refuses root, and there is no account ${ACCOUNT}`, {
      cause: error,
    })
  }
}

function as(account: Account | null, program: string, args: readonly string[]): [string, string[]] {
  if (!account) return [program, [...args]]
  return ['setpriv', [`--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups', program, ...args]]
}

/** Whether a login is answered with an authentication request: a server that recovers answers with an error. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: HOST, port, timeout: 1000 }, () => {
      const startup = Buffer.from('user\0postgres\0database\0postgres\0\0')
      const head = Buffer.alloc(8)
      head.writeInt32BE(8 + startup.length, 0)
      head.writeInt32BE(196_608, 4)
      socket.write(Buffer.concat([head, startup]))
    })
    const finish = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    // 'R' = authentication; 'E' = it is starting up.
    socket.on('data', (chunk) => finish(chunk[0] === 0x52))
    socket.on('timeout', () => finish(false))
    socket.on('error', () => finish(false))
    socket.on('close', () => resolve(false))
  })
}

/** The server as a part of a stack: services find it by MESH_DEMO_POSTGRES_PORT. */
export function postgresServer(environment: () => Environment = () => ({})): ExtraServer {
  return {
    name: 'postgres',
    spec: ({ port, layout, env }) =>
      postgresSpec({
        folder: layout.postgres,
        port,
        env,
        logFile: join(layout.logs, 'postgres.log'),
        pidFile: pidFile(layout, 'postgres'),
      }),
    environment: (port) => ({ MESH_DEMO_POSTGRES_PORT: String(port), ...environment() }),
  }
}
