// `npm run engines [-- suite… [vitest arguments]]`: the suites on real engines, one after another; a summary at the end.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describeError, isMeshError } from '@mesh/shared/core/errors'
import { findEngineJava, findJava } from '../packages/cli/src/stack/java.ts'
import { findMaven } from '../packages/cli/src/stack/maven.ts'
import { findPython } from '../packages/cli/src/stack/python-engine.ts'
import { findChromium } from '../services/console/test/support/gold-page.ts'
import {
  type Chosen,
  chooseSuites,
  countsOf,
  exitCode,
  type Need,
  type Outcome,
  renderOutcomes,
  type Suite,
} from './engine-suites.ts'

const ROOT = join(import.meta.dirname, '..')
const CACHE = join(ROOT, '.mesh', 'cache')
const { env } = process

/** Each throws when it is not there, and says what to install. */
const PROBES: Readonly<Record<Need, () => unknown>> = {
  java: () => findJava({ javaHome: env['JAVA_HOME'], path: env['PATH'] }),
  'engine-java': () => findEngineJava({ javaHome: env['JAVA_HOME'], path: env['PATH'] }),
  maven: () => findMaven(env['PATH']),
  python: () => findPython(env),
  'python-3.11': () => findPython(env, [3, 11]),
  chromium: () => findChromium(env),
}

let stopped = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => (stopped = true))

try {
  process.exitCode = await main()
} catch (error) {
  if (!isMeshError(error)) throw error
  console.error(describeError(error))
  process.exitCode = 2
}

async function main(): Promise<number> {
  const { chosen, rest } = chooseSuites(process.argv.slice(2))
  const outcomes: Outcome[] = []
  for (const each of chosen) {
    outcomes.push(stopped ? outcomeOf(each.suite, 'not run') : await runSuite(each, rest))
  }
  console.log('\n== engines')
  const { bavail, bsize } = statfsSync(ROOT)
  console.log(
    renderOutcomes(await Promise.all(outcomes.map(withSize)), {
      cache: await kilobytes([CACHE]),
      free: (bavail * bsize) / 1024,
    }),
  )
  return exitCode(outcomes)
}

async function runSuite({ suite, files }: Chosen, rest: readonly string[]): Promise<Outcome> {
  console.log(`\n== ${suite.name}`)
  const missing = await missingFor(suite)
  if (missing.length > 0) {
    for (const text of missing) console.error(text)
    return outcomeOf(suite, 'missing', 0, missing.join('; '))
  }
  const startedAt = Date.now()
  const vitest = join(ROOT, 'node_modules', '.bin', 'vitest')
  const report = join(ROOT, '.vitest', `engines-${suite.name}.json`)
  rmSync(report, { force: true })
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const args = ['run', '--config', 'vitest.engines.config.ts', ...reporters, ...files, ...rest]
  const child = spawn(vitest, args, { cwd: ROOT, stdio: 'inherit' })
  // A Ctrl-C in a terminal reaches it by itself.
  const forward = (): void => void child.kill('SIGTERM')
  process.on('SIGTERM', forward)
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  process.off('SIGTERM', forward)
  const seconds = (Date.now() - startedAt) / 1000
  const tests = countsOf(existsSync(report) ? readFileSync(report, 'utf8') : null, code === 0)
  if (code === 0) return { ...outcomeOf(suite, 'passed', seconds), tests }
  return { ...outcomeOf(suite, 'failed', seconds, signal ?? `exit code ${code}`), tests }
}

async function missingFor({ needs }: Suite): Promise<string[]> {
  const missing: string[] = []
  for (const need of needs) {
    try {
      await PROBES[need]()
    } catch (error) {
      missing.push(isMeshError(error) ? `${error.message}. ${error.hint}` : (error as Error).message)
    }
  }
  return missing
}

function outcomeOf({ name }: Suite, state: Outcome['state'], seconds = 0, why: string | null = null): Outcome {
  return { suite: name, state, seconds, why, tests: null, kilobytes: null }
}

async function withSize(outcome: Outcome): Promise<Outcome> {
  const engines = join(CACHE, 'engines')
  const names = existsSync(engines) ? readdirSync(engines) : []
  const own = names.filter((name) => name.startsWith(`${outcome.suite}-`))
  return { ...outcome, kilobytes: own.length === 0 ? null : await kilobytes(own.map((name) => join(engines, name))) }
}

/** What `du` says of the folders together; files with several names count once. Null where there is no `du`. */
async function kilobytes(folders: readonly string[]): Promise<number | null> {
  const { stdout } = await promisify(execFile)('du', ['-skc', ...folders]).catch(() => ({ stdout: '' }))
  const total = /^(\d+)\s+total$/m.exec(stdout)?.[1]
  return total === undefined ? null : Number(total)
}
