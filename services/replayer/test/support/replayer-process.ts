import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { freePort } from '@mesh/shared/testing/free-port'
import { vi } from 'vitest'

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname

export type ReplayerProcess = {
  call<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<{ status: number; body: T }>
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

/** Starts main.ts as the stack does, and resolves once it is ready. */
export async function startReplayerProcess(env: Readonly<Record<string, string>>): Promise<ReplayerProcess> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env['PATH'] ?? '', MESH_HTTP_PORT: String(port), MESH_LOG_LEVEL: 'warn', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  await vi.waitFor(
    async () => {
      if (child.exitCode !== null) throw new Error(`the replayer ended: ${output}`)
      const reply = await fetch(`${url}/readyz`).catch(() => null)
      if (reply?.status !== 200) throw new Error(`not ready: ${output}`)
    },
    { timeout: 120_000, interval: 50 },
  )
  return {
    async call<T>(method: 'GET' | 'POST', path: string, body?: unknown) {
      const reply = await fetch(`${url}${path}`, {
        method,
        ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      })
      return { status: reply.status, body: (await reply.json()) as T }
    },
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal)
        await once(child, 'exit')
      }
      return child.exitCode
    },
  }
}
