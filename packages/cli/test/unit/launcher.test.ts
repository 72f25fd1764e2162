import { type ChildProcess, spawn } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { identityOf } from '../../src/stack/process-identity.ts'

const SCRIPTS = join(import.meta.dirname, '..', '..', '..', '..', 'scripts')

let root = ''

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mesh-launcher-'))
  mkdirSync(join(root, 'scripts'))
  for (const name of ['run.mjs', 'leftovers.mjs']) copyFileSync(join(SCRIPTS, name), join(root, 'scripts', name))
  writeFileSync(join(root, 'package.json'), '{"packageManager":"pnpm@1.2.3"}')
  writeFileSync(join(root, 'pnpm-lock.yaml'), 'lockfileVersion: 1')
})

afterEach(() => rmSync(root, { recursive: true, force: true }))

test('the first run installs with the pinned pnpm, later ones do not, a changed lockfile does', async () => {
  installs({ node: 'echo "ran $*"' })
  const first = await launch('mesh', 'status')
  expect(first).toMatchObject({ code: 0, printed: expect.stringContaining('ran packages/cli/src/main.ts status') })
  expect((await launch('start', '--once')).printed).toBe('ran packages/cli/src/main.ts start --once\n')
  expect(calls()).toEqual(['--yes pnpm@1.2.3 install --frozen-lockfile'])
  writeFileSync(join(root, 'pnpm-lock.yaml'), 'lockfileVersion: 2')
  await launch('mesh')
  expect(calls()).toHaveLength(2)
})

test('a broken download says what to do, exits with 1 and is tried again', async () => {
  program('bin', 'npx', 'echo "npm error network ENOTFOUND" >&2; exit 7')
  const ran = await launch('start')
  expect(ran.code).toBe(1)
  expect(ran.printed).toContain('npm error network ENOTFOUND')
  expect(ran.printed).toMatch(/^installing dependencies failed \(exit code 7; .*Check the network/m)
  expect(existsSync(join(root, 'node_modules', '.setup-stamp'))).toBe(false)
})

test('the exit code of the program is the exit code of the launcher', async () => {
  installs({ node: 'exit 42' })
  expect((await launch('mesh')).code).toBe(42)
})

test('a signal reaches the program, which decides how to end', async () => {
  // Not a shell loop: dash may miss the end of its `sleep` when the signal comes in between, and waits for ever.
  const program = `process.on('SIGTERM', () => { console.log('stopping'); process.exit(5) }); console.log('ready'); setInterval(() => {}, 1000)`
  installs({ node: `exec ${process.execPath} -e "${program}"` })
  const ran = await launch('start', { whenReady: (child) => child.kill('SIGTERM') })
  expect(ran).toMatchObject({ code: 5, printed: expect.stringContaining('stopping') })
})

test('the first failing suite ends a test run, after a summary', async () => {
  installs({ biome: 'exit 0', oxlint: 'exit 3', tsc: 'echo "must not run"', vitest: 'exit 0' })
  const ran = await launch('test')
  expect(ran.code).toBe(3)
  expect(ran.printed).not.toContain('must not run')
  expect(ran.printed).toMatch(/format: passed[^]*lint: FAILED \(exit code 3\)[^]*types: not run\ntests: not run\n$/)
})

test('arguments of a test run go to vitest only', async () => {
  installs({ biome: 'echo "biome $*"', oxlint: 'echo "oxlint $*"', tsc: 'echo "tsc $*"', vitest: 'echo "vitest $*"' })
  const { code, printed } = await launch('test', 'some/path')
  expect(code).toBe(0)
  expect(printed.match(/^.*some\/path.*$/gm)).toEqual(['vitest run some/path'])
})

test.runIf(process.platform === 'linux')(
  'what an interrupted test run left running is ended and named, with what it started in turn',
  async () => {
    const sleeps = (parent: string): string =>
      `const { spawn } = require('node:child_process'); spawn('sleep', ['300'], { detached: true, ${parent} }).unref()`
    const server = `${sleeps("env: {}, stdio: 'ignore'")}; setInterval(() => {}, 1000)`
    writeFileSync(join(root, 'server.cjs'), server)
    const detached = `{ detached: true, stdio: 'ignore' }`
    writeFileSync(
      join(root, 'suite.cjs'),
      `require('node:child_process').spawn(process.execPath, ['${join(root, 'server.cjs')}'], ${detached}).unref()
       setTimeout(() => console.log('ready'), 500); setInterval(() => {}, 1000)`,
    )
    installs({ node: `exec ${process.execPath} ${join(root, 'suite.cjs')}` })
    const ran = await launch('engines', { whenReady: (child) => child.kill('SIGTERM') })
    expect(ran.code).toBe(143)
    expect(ran.printed).toContain('2 processes were left running, and were ended')
    const pids = [...ran.printed.matchAll(/^(\d+) (.*)$/gm)].map(([, pid, command]) => ({ pid: Number(pid), command }))
    expect(pids.map(({ command }) => command).sort()).toEqual([expect.stringContaining('server.cjs'), 'sleep 300'])
    for (const { pid } of pids) expect(identityOf(pid)).toBeUndefined()
  },
)

test('an unknown command is refused before anything is installed', async () => {
  expect(await launch('tset')).toMatchObject({ code: 2, printed: expect.stringMatching(/^usage: /) })
})

/** A `npx` that writes down its arguments and leaves these programs in node_modules/.bin. */
function installs(programs: Readonly<Record<string, string>>): void {
  const bin = join(root, 'node_modules', '.bin')
  for (const [name, script] of Object.entries(programs)) program('installed', name, script)
  program('bin', 'npx', `echo "$*" >> ${join(root, 'calls')}; mkdir -p ${bin}; cp ${join(root, 'installed')}/* ${bin}`)
}

function program(folder: string, name: string, script: string): void {
  mkdirSync(join(root, folder), { recursive: true })
  writeFileSync(join(root, folder, name), `#!/bin/sh\n${script}\n`)
  chmodSync(join(root, folder, name), 0o755)
}

function calls(): string[] {
  return readFileSync(join(root, 'calls'), 'utf8').trimEnd().split('\n')
}

interface Hooks {
  /** Called once the program has printed `ready`. */
  readonly whenReady: (child: ChildProcess) => void
}

function launch(...args: (string | Hooks)[]): Promise<{ code: number | null; printed: string }> {
  const words = args.filter((arg) => typeof arg === 'string')
  const hooks = args.find((arg) => typeof arg === 'object')
  const path = [join(root, 'bin'), process.env['PATH']].join(delimiter)
  const child = spawn(process.execPath, [join(root, 'scripts', 'run.mjs'), ...words], {
    env: { ...process.env, PATH: path },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let printed = ''
  const collect = (chunk: Buffer): void => {
    printed += chunk.toString()
    if (/^ready$/m.test(chunk.toString())) hooks?.whenReady(child)
  }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, printed })))
}
