import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, inject, test } from 'vitest'
import { isBrokerReady } from '../../../src/stack/kafka-probe.ts'
import { HOST } from '../../../src/stack/ports.ts'
import { type Stack, type StackOptions, startStack } from '../../../src/stack/stack.ts'
import { type ToyProject, toyProject } from './toy-services.ts'

const stacks: Stack[] = []
const projects: ToyProject[] = []

afterEach(async () => {
  await Promise.all(stacks.splice(0).map((stack) => stack.stop()))
  for (const project of projects.splice(0)) project.remove()
})

test('Kafka and the registry keep what they hold over a stop and over a kill, and a fresh start forgets it', {
  timeout: 600_000,
}, async () => {
  const options = infrastructureOptions(['kafka', 'registry'])
  const first = await start(options)
  expect(await isReady(first)).toBe(true)
  await register(first, 'flights-value')
  const cluster = clusterId(options)
  await first.stop()
  expect(await isReady(first)).toBe(false)

  const second = await start(options)
  expect(await subjects(second)).toEqual(['flights-value'])
  expect(clusterId(options)).toBe(cluster)
  await Promise.all([second.restart('kafka', 'SIGKILL'), second.restart('registry', 'SIGKILL')])
  expect(await subjects(second)).toEqual(['flights-value'])
  expect(await isReady(second)).toBe(true)
  await second.stop()

  const third = await start({ ...options, fresh: true })
  expect(await subjects(third)).toEqual([])
  expect(clusterId(options)).not.toBe(cluster)
})

test('the death of the broker ends the stack with the reason', async () => {
  const stack = await start(infrastructureOptions(['kafka']))
  stack.kill('kafka', 'SIGKILL')
  expect(await stack.done).toMatchObject({
    code: 'MESH_STACK_CHILD_FAILED',
    message: expect.stringContaining('kafka ended (signal SIGKILL)'),
  })
  expect(stack.processes()).toMatchObject([{ name: 'kafka', state: 'failed', pid: null }])
})

function infrastructureOptions(only: ('kafka' | 'registry')[]): StackOptions {
  const project = toyProject({})
  projects.push(project)
  return { ...project.options, env: process.env, only, cacheDir: inject('stackCache'), archives: false }
}

async function start(options: StackOptions): Promise<Stack> {
  const stack = await startStack(options)
  stacks.push(stack)
  return stack
}

/** With time for a busy broker to answer; a port that nobody listens on is told at once. */
function isReady(stack: Stack): Promise<boolean> {
  return isBrokerReady(HOST, stack.ports['kafka'] ?? 0, 60_000)
}

async function register(stack: Stack, subject: string): Promise<void> {
  const response = await fetch(`${stack.addresses.registryUrl}/subjects/${subject}/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ schema: '"string"' }),
  })
  expect(response.status).toBe(200)
}

async function subjects(stack: Stack): Promise<unknown> {
  return (await fetch(`${stack.addresses.registryUrl}/subjects`)).json()
}

function clusterId(options: StackOptions): string | undefined {
  const meta = readFileSync(join(options.stateDir, 'kafka', 'log', 'meta.properties'), 'utf8')
  return /^cluster.id=(.+)$/m.exec(meta)?.[1]
}
