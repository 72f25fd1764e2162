import { realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describeError, isMeshError } from '@mesh/shared/core/errors'
import { findCommand, type OptionValue, type ParsedArguments, parseCommandLine } from './arguments.ts'
import type { Command, CommandContext } from './command.ts'
import { audit } from './commands/audit.ts'
import { bi } from './commands/bi.ts'
import { dbt } from './commands/dbt.ts'
import { down } from './commands/down.ts'
import { jobs } from './commands/jobs.ts'
import { lake } from './commands/lake.ts'
import { lineage } from './commands/lineage.ts'
import { post } from './commands/post.ts'
import { privacy } from './commands/privacy.ts'
import { replay } from './commands/replay.ts'
import { sources } from './commands/sources.ts'
import { sql } from './commands/sql.ts'
import { start } from './commands/start.ts'
import { status } from './commands/status.ts'
import { streams } from './commands/streams.ts'
import { tail } from './commands/tail.ts'
import { up } from './commands/up.ts'
import { verify } from './commands/verify.ts'
import { findProject } from './project-folder.ts'
import type { Environment } from './stack/process.ts'
import { renderHelp, renderOverview } from './usage.ts'

/** In the order of `mesh --help`. */
const COMMANDS: readonly Command[] = [
  start,
  up,
  down,
  status,
  streams,
  sources,
  post,
  tail,
  sql,
  verify,
  audit,
  replay,
  lake,
  jobs,
  dbt,
  lineage,
  bi,
  privacy,
]

process.exitCode = await main(process.argv.slice(2), process.env)

async function main(args: readonly string[], env: Environment): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(`${renderOverview(COMMANDS)}\n`)
    return name === undefined ? 2 : 0
  }
  try {
    const command = findCommand(name, Object.fromEntries(COMMANDS.map((entry) => [entry.name, entry])))
    const parsed = parseCommandLine(command, rest)
    if (parsed.values['help'] !== true) return await command.run(contextOf(parsed, env))
    process.stdout.write(`${renderHelp(command)}\n`)
    return 0
  } catch (error) {
    return report(error, rest.includes('--json'))
  }
}

function contextOf({ values, positionals }: ParsedArguments, env: Environment): CommandContext {
  const abort = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => abort.abort())
  const projectDir = (): string => findProject(process.cwd(), textOf(values['project']))
  return {
    positionals,
    json: values['json'] === true,
    env,
    codeDir: realpathSync(join(import.meta.dirname, '..', '..', '..')),
    signal: abort.signal,
    projectDir,
    stateDir: () => (env['MESH_STATE_DIR'] ? resolve(env['MESH_STATE_DIR']) : join(projectDir(), '.mesh')),
    text: (option) => textOf(values[option]),
    list: (option) => listOf(values[option]),
    flag: (option) => values[option] === true,
    print: (text) => void process.stdout.write(`${text}\n`),
    note: (text) => void process.stderr.write(`${text}\n`),
  }
}

function textOf(value: OptionValue): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function listOf(value: OptionValue): string[] {
  const parts = [value].flat().filter((part) => typeof part === 'string')
  return parts.flatMap((part) => part.split(',')).filter((part) => part !== '')
}

function report(error: unknown, json: boolean): number {
  const known = isMeshError(error)
  const problem = known
    ? { code: error.code, message: describeError(error).replace(`${error.code} `, ''), hint: error.hint }
    : {
        code: 'MESH_INTERNAL',
        message: error instanceof Error ? (error.stack ?? error.message) : String(error),
        hint: '',
      }
  const text = json ? JSON.stringify({ error: problem }) : `mesh: ${problem.message} [${problem.code}]`
  process.stderr.write(`${text}\n${!json && problem.hint ? `  ${problem.hint}\n` : ''}`)
  return known && error.code === 'MESH_CLI_USAGE' ? 2 : 1
}
