import { MeshError } from '@mesh/shared/core/errors'

/** What a suite needs of the machine; everything else it installs itself. */
export type Need = 'java' | 'engine-java' | 'maven' | 'python' | 'python-3.11' | 'chromium'

export type Suite = {
  /** Its tests are `tests/engines/<name>*.test.ts`, its engine lies in `.mesh/cache/engines/<name>-*`. */
  readonly name: string
  readonly needs: readonly Need[]
}

const MESH: readonly Need[] = ['java', 'maven']

/** In the order in which they run: what is quick to fail comes first. */
export const SUITES: readonly Suite[] = [
  { name: 'gold-page', needs: ['chromium'] },
  { name: 'superset', needs: ['python'] },
  { name: 'spark', needs: [...MESH, 'engine-java', 'python'] },
  { name: 'flink', needs: [...MESH, 'engine-java', 'python'] },
  { name: 'airflow', needs: [...MESH, 'python-3.11'] },
]

export type Chosen = {
  readonly suite: Suite
  /** Beginnings of the paths of its test files. */
  readonly files: readonly string[]
}

export type Outcome = {
  readonly suite: string
  readonly state: 'passed' | 'failed' | 'missing' | 'not run'
  readonly seconds: number
  /** Failed: the exit code. Missing: what, and how to get it. */
  readonly why: string | null
  /** Null where it did not come to running any. */
  readonly tests: Counts | null
  /** Of the engine's own folders; null where it has none. */
  readonly kilobytes: number | null
}

export type Counts = { readonly passed: number; readonly failed: number }

/**
 * Of vitest's JSON report. A run that failed without a failed test (a file that does not load, a signal) counts as one failure, and so
 * does one that left no report.
 */
export function countsOf(report: string | null, succeeded: boolean): Counts {
  const { numPassedTests = 0, numFailedTests = 0 } = report === null ? {} : JSON.parse(report)
  return { passed: numPassedTests, failed: succeeded ? 0 : Math.max(numFailedTests, 1) }
}

const FOLDER = 'tests/engines/'

/**
 * Suites, or files of them (`airflow-contract`, `airflow.test.ts`), come first, then what goes to vitest. None named: all of them.
 * @throws MeshError MESH_CLI_USAGE
 */
export function chooseSuites(args: readonly string[]): {
  readonly chosen: readonly Chosen[]
  readonly rest: readonly string[]
} {
  const end = args.findIndex((arg) => arg.startsWith('-'))
  const given = end === -1 ? args : args.slice(0, end)
  const names = (given.length > 0 ? given : SUITES.map(({ name }) => name)).map((arg) => arg.replace(FOLDER, ''))
  for (const name of names) suiteOf(name)
  const chosen = SUITES.map((suite) => ({
    suite,
    files: names.filter((name) => suiteOf(name) === suite).map((name) => `${FOLDER}${name}`),
  }))
  return { chosen: chosen.filter(({ files }) => files.length > 0), rest: end === -1 ? [] : args.slice(end) }
}

function suiteOf(given: string): Suite {
  const name = given.replace(/\.test\.ts$/, '')
  const suite = SUITES.find((each) => name === each.name || name.startsWith(`${each.name}-`))
  if (suite) return suite
  const known = SUITES.map((each) => each.name).join(', ')
  throw new MeshError('MESH_CLI_USAGE', `there is no engine suite ${name}: ${known}`)
}

export const exitCode = (outcomes: readonly Outcome[]): 0 | 1 =>
  outcomes.every(({ state }) => state === 'passed') ? 0 : 1

/** One line a suite, the tests of all, then what the disk holds and has left, in kilobytes. */
export function renderOutcomes(
  outcomes: readonly Outcome[],
  disk: { readonly cache: number | null; readonly free: number },
): string {
  const width = Math.max(...outcomes.map(({ suite }) => suite.length))
  const lines = outcomes.map(({ suite, state, seconds, why, tests, kilobytes }) => {
    const head = `${suite.padEnd(width)}  ${state === 'passed' || state === 'not run' ? state : state.toUpperCase()}`
    if (state === 'missing') return `${head}: ${why}`
    if (state === 'not run') return head
    const size = kilobytes === null ? '' : `, ${megabytes(kilobytes)} installed`
    const counted = tests === null ? '' : `, ${countsText(tests)}`
    return `${head}${why === null ? '' : ` (${why})`} in ${seconds.toFixed(1)} s${counted}${size}`
  })
  const held = disk.cache === null ? '' : `.mesh/cache holds ${megabytes(disk.cache)}, `
  // A suite that was not run, for want of what it needs or for a signal, is no success.
  const all = outcomes.map(({ tests }) => tests ?? { passed: 0, failed: 1 })
  const passed = all.reduce((sum, each) => sum + each.passed, 0)
  const failed = all.reduce((sum, each) => sum + each.failed, 0)
  return [...lines, `engines: ${countsText({ passed, failed })}`, `disk: ${held}${megabytes(disk.free)} free`].join(
    '\n',
  )
}

const countsText = ({ passed, failed }: Counts): string => `${passed} passed, ${failed} failed`
const megabytes = (kilobytes: number): string => `${Math.round(kilobytes / 1024).toLocaleString('en')} MB`
