import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { stopLeftAirflow } from '../../../src/stack/airflow.ts'
import { findFreePorts } from '../../../src/stack/ports.ts'
import { identityOf } from '../../../src/stack/process-identity.ts'
import { findPython } from '../../../src/stack/python-engine.ts'
import { readMark } from '../../../src/stack/state.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..', '..', '..')
const PARTS = ['api-server', 'scheduler', 'dag-processor'] as const

/**
 * In the place of Airflow, whose own start and stop the engines' suite shows: its parts, and a scheduler that begins a task in a group of
 * its own. The file `never-ready` keeps it from being healthy, `silent` keeps the API of tasks from answering.
 */
const TOY = `#!${process.execPath}
const { appendFileSync, existsSync } = require('node:fs')
const [part] = process.argv.slice(2)
if (part === 'db') {
  appendFileSync('migrations', 'once ')
  process.exit(0)
}
if (part === 'api-server') {
  const status = () => (existsSync('never-ready') ? 'unhealthy' : 'healthy')
  require('node:http').createServer((request, response) => {
    if (request.url === '/execution/health' && existsSync('silent')) return appendFileSync('asked', 'x')
    response.end(JSON.stringify({ metadatabase: { status: 'healthy' }, scheduler: { status: status() }, dag_processor: { status: 'healthy' } }))
  }).listen(Number(process.env.AIRFLOW__API__PORT), process.env.AIRFLOW__API__HOST)
}
if (part === 'scheduler') require('node:child_process').spawn('bash', ['-c', 'set -m; sleep 600 & echo $! > task; wait'])
setInterval(() => {}, 1000)
`

/** Only ends what hangs: each start is a dozen processes, on a machine that may be busy with others. */
const PATIENCE = { timeout: 150_000 }

type Command = { readonly child: ChildProcess; printed(): string; ended(): Promise<number | null> }

let folder = ''
let home = ''
let env: NodeJS.ProcessEnv = {}
const commands: Command[] = []

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mesh-airflow-command-'))
  home = join(folder, 'airflow')
  const lock = readFileSync(join(ROOT, 'transforms', 'airflow', 'requirements.lock.txt'))
  const { version } = await findPython(process.env, [3, 11])
  const name = createHash('sha256').update(lock).update(version).digest('hex').slice(0, 12)
  const bin = join(folder, 'cache', 'engines', `airflow-${name}`, 'bin')
  mkdirSync(bin, { recursive: true })
  mkdirSync(home)
  writeFileSync(join(bin, '..', 'complete'), '')
  writeFileSync(join(bin, 'airflow'), TOY)
  chmodSync(join(bin, 'airflow'), 0o755)
  const { airflow } = await findFreePorts(['airflow'])
  env = { ...process.env, MESH_STATE_DIR: folder, MESH_PORT_AIRFLOW: String(airflow) }
})

afterEach(async () => {
  for (const command of commands.splice(0)) {
    command.child.kill('SIGKILL')
    await command.ended()
  }
  await stopLeftAirflow(home)
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
})

function begin(): Command {
  const child = spawn(process.execPath, [join(ROOT, 'scripts', 'airflow.ts')], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const closed = once(child, 'close')
  const command = { child, printed: () => text, ended: async () => (await closed)[0] as number | null }
  commands.push(command)
  return command
}

/** Resolves with the pids of its parts and of the task that runs. */
async function up(command: Command, sign = /^Airflow: http/m): Promise<number[]> {
  await expect.poll(() => command.printed(), PATIENCE).toMatch(sign)
  return pids()
}

async function pids(): Promise<number[]> {
  const task = (): string => (existsSync(join(home, 'task')) ? readFileSync(join(home, 'task'), 'utf8') : '')
  await expect.poll(task, PATIENCE).toMatch(/^\d+\n$/)
  const marks = PARTS.map((part) => () => readMark(join(home, `${part}.pid.json`)))
  for (const mark of marks) await expect.poll(mark, PATIENCE).toBeDefined()
  const all = [...marks.map((mark) => mark()!.pid), Number(task())]
  for (const pid of all) expect(identityOf(pid)).toBeDefined()
  return all
}

const alive = (all: readonly number[]): number[] => all.filter((pid) => identityOf(pid) !== undefined)

test('Ctrl-C ends it with 0 and leaves nothing, not even a task; the database is migrated once', async () => {
  for (const _ of ['first', 'again']) {
    rmSync(join(home, 'task'), { force: true })
    const command = begin()
    const running = await up(command)
    command.child.kill('SIGINT')
    expect(await command.ended()).toBe(0)
    expect(alive(running)).toEqual([])
  }
  expect(readFileSync(join(home, 'migrations'), 'utf8')).toBe('once ')
})

test('Ctrl-C while it starts ends it with 0 and leaves nothing', async () => {
  writeFileSync(join(home, 'never-ready'), '')
  const command = begin()
  const running = await pids()
  command.child.kill('SIGINT')
  expect(await command.ended()).toBe(0)
  expect(command.printed()).toContain('stopped while it was starting')
  expect(alive(running)).toEqual([])
})

test('Ctrl-C ends it while the API of tasks has yet to answer', async () => {
  writeFileSync(join(home, 'silent'), '')
  const command = begin()
  await expect.poll(() => existsSync(join(home, 'asked')), PATIENCE).toBe(true)
  const started = readMark(join(home, 'api-server.pid.json'))!.pid
  command.child.kill('SIGINT')
  expect(await command.ended()).toBe(0)
  expect(alive([started])).toEqual([])
})

test('a second start is refused with 1 and leaves the first alone', async () => {
  const running = await up(begin())
  const second = begin()
  expect(await second.ended()).toBe(1)
  expect(second.printed()).toContain('MESH_STACK_BUSY')
  expect(alive(running)).toEqual(running)
})

test('what a killed one left behind is stopped by the next', async () => {
  const first = begin()
  const left = await up(first)
  first.child.kill('SIGKILL')
  await first.ended()
  expect(alive(left)).toEqual(left)
  rmSync(join(home, 'task'))
  await up(begin(), /stopped an Airflow that was left running[^]*^Airflow: http/m)
  expect(alive(left)).toEqual([])
})

test('a part that ends by itself ends it with 1 and takes the others along', async () => {
  const command = begin()
  const running = await up(command)
  process.kill(running[1]!, 'SIGKILL')
  expect(await command.ended()).toBe(1)
  expect(command.printed()).toContain('a part of Airflow ended by itself')
  expect(alive(running)).toEqual([])
})
