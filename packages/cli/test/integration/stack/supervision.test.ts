import { readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { HOST } from '../../../src/stack/ports.ts'
import { isUp } from '../../../src/stack/registry.ts'
import { type Stack, type StackOptions, startStack } from '../../../src/stack/stack.ts'
import type { ProcessDeath, ProcessStatus } from '../../../src/stack/supervisor.ts'
import { type ToyProject, toyProject } from './toy-services.ts'

const PATIENCE = { timeout: 60_000, interval: 20 }
const stacks: Stack[] = []
const projects: ToyProject[] = []

afterEach(async () => {
  await Promise.all(stacks.splice(0).map((stack) => stack.stop()))
  for (const project of projects.splice(0)) project.remove()
})

test('services are started in order, get the addresses and the environment, and are stopped in reverse', async () => {
  const { options } = project({ first: 'serves', second: 'serves' })
  const order: string[] = []
  const stack = await start({ ...options, onProgress: ({ name, text }) => order.push(`${name} ${text}`) })
  expect(order).toEqual(['first starting', 'first running', 'second starting', 'second running'])

  const env = (await (await fetch(`${stack.addresses.services['second']}/env`)).json()) as Record<string, string>
  expect(env).toMatchObject({
    TOY_SECRET: 'kept',
    MESH_KAFKA_BROKERS: stack.addresses.kafkaBrokers,
    MESH_REGISTRY_URL: stack.addresses.registryUrl,
    MESH_LAKE_URL: `file://${join(options.stateDir, 'lake')}`,
    MESH_WAREHOUSE_URL: `duckdb://${join(options.stateDir, 'warehouse', 'mesh.duckdb')}`,
    MESH_HTTP_HOST: HOST,
    MESH_HTTP_PORT: String(stack.ports['second']),
    MESH_STATE_DIR: join(options.stateDir, 'services', 'second'),
  })
  await stack.stop()
  expect(stack.processes().map(({ state, pid }) => [state, pid])).toEqual([
    ['stopped', null],
    ['stopped', null],
  ])
  expect(readFileSync(join(options.stateDir, 'logs', 'first.log'), 'utf8')).toContain('first stops')
  expect(await stack.done).toBeNull()
})

test('a killed service comes back under the same address, and its death is told', async () => {
  const stack = await start(project({ toy: 'serves' }).options)
  const deaths: ProcessDeath[] = []
  stack.onExit((death) => deaths.push(death))
  const before = statusOf(stack, 'toy')
  expect(stack.kill('toy', 'SIGKILL')).toBe(true)
  await vi.waitFor(() => expect(statusOf(stack, 'toy')).toMatchObject({ state: 'running', restarts: 1 }), PATIENCE)
  expect(statusOf(stack, 'toy').pid).not.toBe(before.pid)
  await expectUp(stack, 'toy')
  expect(deaths).toMatchObject([{ name: 'toy', exit: { signal: 'SIGKILL' }, willRestart: true }])
})

test('a service that ends by itself again and again is started again each time', async () => {
  const stack = await start(project({ toy: 'serves' }).options)
  for (const restarts of [1, 2, 3]) {
    await fetch(`${stack.addresses.services['toy']}/exit`).catch(() => undefined)
    await vi.waitFor(() => expect(statusOf(stack, 'toy')).toMatchObject({ state: 'running', restarts }), PATIENCE)
  }
})

test('a restart on purpose is no death', async () => {
  const stack = await start(project({ toy: 'serves' }).options)
  const listener = vi.fn<(death: ProcessDeath) => void>()
  stack.onExit(listener)
  const before = statusOf(stack, 'toy')
  await stack.restart('toy', 'SIGKILL')
  expect(statusOf(stack, 'toy')).toMatchObject({ state: 'running', restarts: 0 })
  expect(statusOf(stack, 'toy').pid).not.toBe(before.pid)
  expect(listener).not.toHaveBeenCalled()
})

test('a service that was stopped on purpose stays stopped until it is started again, under the same address', async () => {
  const stack = await start(project({ toy: 'serves', other: 'serves' }).options)
  const listener = vi.fn<(death: ProcessDeath) => void>()
  stack.onExit(listener)
  await stack.stopService('toy')
  expect(statusOf(stack, 'toy')).toMatchObject({ state: 'stopped', pid: null })
  expect(statusOf(stack, 'other').state).toBe('running')
  await expect(isUp(`${stack.addresses.services['toy']}/readyz`)).rejects.toThrow()
  await stack.startService('toy')
  expect(statusOf(stack, 'toy')).toMatchObject({ state: 'running', restarts: 0 })
  await expectUp(stack, 'toy')
  expect(listener).not.toHaveBeenCalled()
})

test('when one service cannot start, those before it are stopped and the error has its last lines', async () => {
  const { options } = project({ good: 'serves', bad: 'ends' })
  await expect(start(options)).rejects.toMatchObject({
    code: 'MESH_STACK_CHILD_FAILED',
    message: expect.stringMatching(/^bad ended before it was ready \(exit code 7\)[^]*cannot reach the moon/),
  })
  expect(readFileSync(join(options.stateDir, 'logs', 'good.log'), 'utf8')).toContain('good stops')
  const again = await start({ ...options, services: ['good'] })
  expect(statusOf(again, 'good').state).toBe('running')
})

test('a stop while a service waits for its restart leaves nothing running', async () => {
  const stack = await start(project({ toy: 'serves' }).options)
  stack.kill('toy', 'SIGKILL')
  await vi.waitFor(() => expect(statusOf(stack, 'toy').state).toBe('restarting'), PATIENCE)
  await stack.stop()
  expect(statusOf(stack, 'toy')).toMatchObject({ state: 'stopped', pid: null })
})

test('a stack whose state folder was deleted still stops everything', async () => {
  const { options } = project({ toy: 'serves' })
  const stack = await start(options)
  rmSync(options.stateDir, { recursive: true, force: true })
  await stack.stop()
  await expect(isUp(`${stack.addresses.services['toy']}/readyz`)).rejects.toThrow()
})

test('an abort while starting stops what had started', async () => {
  const { options } = project({ toy: 'serves', other: 'serves' })
  const abort = new AbortController()
  const onProgress = ({ name, text }: { name: string; text: string }): void => {
    if (name === 'other' && text === 'starting') abort.abort()
  }
  await expect(start({ ...options, signal: abort.signal, onProgress })).rejects.toMatchObject({
    code: 'MESH_STACK_STOPPED',
  })
  expect(readFileSync(join(options.stateDir, 'logs', 'toy.log'), 'utf8')).toContain('toy stops')
})

test('a second stack on the same state folder is refused and disturbs nothing', async () => {
  const { options } = project({ toy: 'serves' })
  const stack = await start(options)
  await expect(start(options)).rejects.toMatchObject({
    code: 'MESH_STACK_BUSY',
    message: expect.stringContaining(`pid ${process.pid}`),
  })
  await expectUp(stack, 'toy')
})

test('a taken fixed port is refused before anything starts', async () => {
  const { options } = project({ toy: 'serves' })
  await using holder = await listen()
  const onProgress = vi.fn<() => void>()
  const taken = { ...options, ports: 'fixed' as const, portOverrides: { toy: holder.port }, onProgress }
  await expect(start(taken)).rejects.toMatchObject({ code: 'MESH_STACK_PORT_TAKEN' })
  expect(onProgress).not.toHaveBeenCalled()
})

test('a service without a folder is refused before anything starts', async () => {
  const { options } = project({ toy: 'serves' })
  await expect(start({ ...options, services: ['toy', 'missing'] })).rejects.toMatchObject({
    code: 'MESH_STACK_SERVICE_UNKNOWN',
  })
})

function project(toys: Parameters<typeof toyProject>[0]): ToyProject {
  const made = toyProject(toys)
  projects.push(made)
  return made
}

async function start(options: StackOptions): Promise<Stack> {
  const stack = await startStack(options)
  stacks.push(stack)
  return stack
}

function statusOf(stack: Stack, name: string): ProcessStatus {
  const found = stack.processes().find((process) => process.name === name)
  if (!found) throw new Error(`no process ${name}`)
  return found
}

/** A single probe gives up after a second, which a busy machine may take. */
async function expectUp(stack: Stack, name: string): Promise<void> {
  await expect.poll(() => isUp(`${stack.addresses.services[name]}/readyz`).catch(() => false), PATIENCE).toBe(true)
}

function listen(): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer()
  return new Promise((resolve) => {
    server.listen(0, HOST, () => {
      const address = server.address()
      const port = typeof address === 'object' && address ? address.port : 0
      resolve({ port, [Symbol.asyncDispose]: () => new Promise((closed) => server.close(() => closed())) })
    })
  })
}
