import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { type Stack, startStack } from '../../packages/cli/src/stack/stack.ts'
import { sweepAbandoned } from './sweep.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** host:port of a real broker, shared by all tests of the run: name topics and groups uniquely. */
    kafkaBrokers: string
    /** Base URL of a real registry (Confluent API), shared by all tests of the run: name subjects uniquely. */
    registryUrl: string
    /** Where downloads of the local stack are kept, for tests that start a stack of their own. */
    stackCache: string
  }
}

interface Shared {
  readonly stack: Promise<Stack>
  users: number
}

const ROOT = join(import.meta.dirname, '..', '..')
const CACHE = join(ROOT, '.mesh', 'cache')
const RUNS = join(ROOT, '.mesh', 'test')
// Each project loads this file by itself: what they share has to live outside the module.
const SHARED: unique symbol = Symbol.for('mesh.test.stack')
const HOLDER = globalThis as { [SHARED]?: Shared }

/** One broker and one registry for all projects of the run; the last one to end stops them. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const stateDir = join(RUNS, String(process.pid))
  HOLDER[SHARED] ??= { stack: start(stateDir), users: 0 }
  const shared = HOLDER[SHARED]
  shared.users += 1
  const stack = await shared.stack
  project.provide('kafkaBrokers', stack.addresses.kafkaBrokers)
  project.provide('registryUrl', stack.addresses.registryUrl)
  project.provide('stackCache', CACHE)
  return async () => {
    shared.users -= 1
    if (shared.users > 0) return
    await stack.stop()
    rmSync(stateDir, { recursive: true, force: true, maxRetries: 10 })
    delete HOLDER[SHARED]
  }
}

async function start(stateDir: string): Promise<Stack> {
  mkdirSync(RUNS, { recursive: true })
  await sweepAbandoned(RUNS)
  return startStack({
    stateDir,
    cacheDir: CACHE,
    codeDir: ROOT,
    env: process.env,
    ports: 'free',
    only: ['kafka', 'registry'],
    archives: false,
    onProgress: ({ name, text }) => console.log(`[stack] ${name} ${text}`),
  })
}
