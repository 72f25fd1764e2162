import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inject } from 'vitest'
import { type Stack, startStack } from '../../packages/cli/src/stack/stack.ts'

export type OwnBroker = {
  readonly stack: Stack
  /** A lake folder beside it. */
  readonly lakeUrl: string
  stop(): Promise<void>
}

const ROOT = new URL('../../', import.meta.url).pathname

/** A broker that a test may stop, kill and start again: the shared one is everybody's. */
export async function startOwnBroker(name: string): Promise<OwnBroker> {
  const stateDir = await mkdtemp(join(tmpdir(), `mesh-${name}-`))
  const stack = await startStack({
    stateDir,
    cacheDir: inject('stackCache'),
    codeDir: ROOT,
    env: process.env,
    ports: 'free',
    only: ['kafka'],
    archives: false,
  })
  return {
    stack,
    lakeUrl: pathToFileURL(join(stateDir, 'lake')).href,
    async stop() {
      await stack.stop()
      await rm(stateDir, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}
