#!/usr/bin/env node
// The launcher behind every npm script. Plain JavaScript for Node >= 18: it installs what package.json pins,
// Node itself included, and runs everything else under that Node.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { endLeftovers, markRun } from './leftovers.mjs'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')
const BIN = join(ROOT, 'node_modules', '.bin')
const STAMP = join(ROOT, 'node_modules', '.setup-stamp')
const OLDEST_NODE = 24
const CLI = ['packages/cli/src/main.ts']

const FORMAT = { title: 'format', command: 'biome', args: ['check', '--error-on-warnings', '.'] }
const LINT = { title: 'lint', command: 'oxlint', args: ['--type-aware', '--deny-warnings'] }
const TYPES = { title: 'types', command: 'tsc', args: ['--noEmit', '-p', '.'] }

const COMMANDS = {
  start: (args) => runNode([...CLI, 'start', ...args]),
  mesh: (args) => runNode([...CLI, ...args]),
  bench: (args) => runNode(['tests/bench/main.ts', ...args]),
  faults: (args) =>
    runSuites([{ title: 'faults', command: 'vitest', args: ['run', '--project', 'faults', ...args] }], {
      MESH_FAULTS: '1',
    }),
  engines: (args) => marked((env) => run(pinnedNode(), ['scripts/engines.ts', ...args], env)),
  airflow: (args) => runNode(['scripts/airflow.ts', ...args]),
  screenshots: (args) => runNode(['services/console/test/support/screenshots.ts', ...args]),
  check: () => runSuites([LINT, TYPES]),
  test: (args) => runSuites([FORMAT, LINT, TYPES, { title: 'tests', command: 'vitest', args: ['run', ...args] }]),
}

const [name, ...args] = process.argv.slice(2)
const command = Object.hasOwn(COMMANDS, name ?? '') ? COMMANDS[name] : undefined
if (!command) fail(`usage: node scripts/run.mjs ${Object.keys(COMMANDS).join('|')} [arguments]`, 2)
await install()
process.exit(await command(args))

/** Runs `pnpm install` unless the lockfile is the one that was installed last, on this kind of machine. */
async function install() {
  const lockfile = readFileSync(join(ROOT, 'pnpm-lock.yaml'))
  const wanted = createHash('sha256').update(lockfile).update(`${process.platform} ${process.arch}`).digest('hex')
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wanted) return
  const { packageManager } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  say(`installing dependencies with ${packageManager}`)
  const startedAt = Date.now()
  const code = await run('npx', ['--yes', packageManager, 'install', '--frozen-lockfile'], process.env)
  if (code !== 0) {
    fail(
      `installing dependencies failed (exit code ${code}; the cause is above). ` +
        'Check the network, the registry that `npm config get registry` shows and the disk, then run the same command again.',
      1,
    )
  }
  writeFileSync(STAMP, wanted)
  say(`dependencies installed in ${seconds(startedAt)}`)
}

/** Runs the suites in order up to the first that fails, then says how each one went. */
function runSuites(suites, more = {}) {
  return marked((env) => inOrder(suites, { ...env, ...more }))
}

async function inOrder(suites, env) {
  const lines = []
  let code = 0
  for (const { title, command, args } of suites) {
    if (code !== 0) {
      lines.push(`${title}: not run`)
      continue
    }
    say(title)
    const startedAt = Date.now()
    code = await run(join(BIN, command), args, env)
    lines.push(`${title}: ${code === 0 ? 'passed' : `FAILED (exit code ${code})`} in ${seconds(startedAt)}`)
  }
  say('summary')
  for (const line of lines) console.log(line)
  return code
}

/** Runs tests; what they left running, because they were interrupted or forgot it, is ended and named. */
async function marked(work) {
  const { id, env } = markRun(pinnedEnvironment())
  const code = await work(env)
  const left = await endLeftovers(id)
  if (left.length > 0) say(`${left.length} processes were left running, and were ended`)
  for (const { pid, command } of left) console.log(`${pid} ${command.slice(0, 150)}`)
  return code
}

function runNode(args) {
  return run(pinnedNode(), args, pinnedEnvironment())
}

/** Compiled code is kept over processes: a service then starts in two thirds of the time. */
function pinnedEnvironment() {
  const cache = process.env.NODE_COMPILE_CACHE ?? join(ROOT, '.mesh', 'cache', 'compiled')
  return { ...process.env, PATH: `${BIN}${delimiter}${process.env.PATH ?? ''}`, NODE_COMPILE_CACHE: cache }
}

/** The Node that the lockfile pins; on a platform it has none for, this one if it is new enough. */
function pinnedNode() {
  const pinned = join(BIN, 'node')
  if (existsSync(pinned)) return pinned
  if (Number(process.versions.node.split('.')[0]) >= OLDEST_NODE) return process.execPath
  return fail(
    `there is no pinned Node for ${process.platform}-${process.arch}: install Node ${OLDEST_NODE} or newer`,
    1,
  )
}

/** Resolves with the exit code; 128 + n when a signal ended the process, as a shell has it. */
function run(program, args, env) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: ROOT, stdio: 'inherit', env })
    const forwarders = ['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => [signal, () => forward(child, signal)])
    for (const [signal, listener] of forwarders) process.on(signal, listener)
    const finish = (code) => {
      for (const [signal, listener] of forwarders) process.off(signal, listener)
      resolve(code)
    }
    child.once('error', (error) => {
      console.error(`${program} could not be started: ${error.message}`)
      finish(127)
    })
    child.once('exit', (code, signal) => finish(code ?? 128 + (signal ? constants.signals[signal] : 0)))
  })
}

/** A Ctrl-C in a terminal reaches the child by itself: forwarding it would make it two. */
function forward(child, signal) {
  if (signal === 'SIGINT' && process.stdin.isTTY) return
  child.kill(signal)
}

function seconds(startedAt) {
  return `${((Date.now() - startedAt) / 1000).toFixed(1)} s`
}

function say(text) {
  console.log(`\n== ${text}`)
}

function fail(text, code) {
  console.error(text)
  process.exit(code)
}
