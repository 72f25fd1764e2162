import { type ChildProcess, spawn } from 'node:child_process'
import { onTestFailed, onTestFinished } from 'vitest'

export type ServiceProcess = { readonly child: ChildProcess; output(): string }

/** A service's main.ts as a process of the test that runs: killed when that ends; what it has said is shown when that fails. */
export function spawnService(main: string, env: Readonly<Record<string, string>>): ServiceProcess {
  const child = spawn(process.execPath, [main], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], ...env },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (output += String(bytes)))
  onTestFinished(() => void child.kill('SIGKILL'))
  onTestFailed(() => console.error(`process ${child.pid} said:\n${output}`))
  return { child, output: () => output }
}
