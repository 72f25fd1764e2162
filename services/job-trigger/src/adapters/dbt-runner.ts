import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { RunOutput } from '@mesh/shared/core/runs'

export type DbtRequest = {
  readonly id: string
  /** Absolute folder of dbt_project.yml and profiles.yml. */
  readonly project: string
  readonly target: string
  readonly targetPath: string
  /** The execution's own folder. */
  readonly folder: string
  readonly args: readonly string[]
  readonly vars: Readonly<Record<string, unknown>>
}

export type DbtOutcome = {
  readonly success: boolean
  readonly error: string | null
  readonly outputs: readonly RunOutput[]
  readonly artefacts: Readonly<Record<string, string>>
  /** Freshness: how old each source is. */
  readonly message?: string | null
}

export type DbtRunner = {
  /** One at a time, in order. @throws RunnerEnded when the process ends first */
  invoke(request: DbtRequest): Promise<DbtOutcome>
  /** Ends the process and what it is doing; the next request starts another. */
  kill(): Promise<void>
  pid(): number | null
}

export type DbtRunnerOptions = {
  readonly python: string
  /** mesh_dbt_runner.py */
  readonly script: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** The process is started anew when it has grown beyond this. */
  readonly maxRssMb: number
  readonly maxInvocations: number
  readonly started: (pid: number) => void
}

/** The resident process died under a request. */
export class RunnerEnded extends Error {
  override readonly name = 'RunnerEnded'
}

type Answer = { readonly id: string; readonly result: DbtOutcome; readonly rssMb: number }
type Child = ChildProcessByStdio<Writable, Readable, Readable>

/** Keeps one dbt process warm: dbt's own start takes seconds, an invocation in a warm process a fraction of one. */
export function createDbtRunner(options: DbtRunnerOptions): DbtRunner {
  let child: Child | null = null
  let invocations = 0
  let waiting: PromiseWithResolvers<Answer> | null = null
  let tail: Promise<unknown> = Promise.resolve()

  async function start(): Promise<Child> {
    const started = spawn(options.python, ['-u', options.script], {
      env: { ...options.env, PYTHONDONTWRITEBYTECODE: '1' },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    let printed = ''
    started.stderr.on('data', (chunk: Buffer) => {
      printed = (printed + chunk.toString()).slice(-2000)
    })
    // A write to a process that has just ended: its exit says it.
    started.stdin.on('error', () => {})
    createInterface({ input: started.stdout }).on('line', (line) => waiting?.resolve(JSON.parse(line) as Answer))
    started.once('close', (code, signal) => {
      if (child === started) child = null
      const how = signal === null ? `exit code ${code}` : `signal ${signal}`
      const last = printed.trim().split('\n').at(-1) ?? ''
      waiting?.reject(new RunnerEnded(`the dbt process ended (${how})${last === '' ? '' : `: ${last}`}`))
    })
    await once(started, 'spawn').catch((error: unknown) => {
      throw new RunnerEnded(`${options.python} could not be started: ${(error as Error).message}`)
    })
    child = started
    invocations = 0
    options.started(started.pid!)
    return started
  }

  async function invokeNow(request: DbtRequest): Promise<DbtOutcome> {
    const running = child ?? (await start())
    waiting = Promise.withResolvers<Answer>()
    running.stdin.write(`${JSON.stringify(request)}\n`)
    try {
      const { result, rssMb } = await waiting.promise
      invocations++
      if (rssMb > options.maxRssMb || invocations >= options.maxInvocations) await end(running, 'SIGTERM')
      return result
    } finally {
      waiting = null
    }
  }

  async function end(running: Child, signal: NodeJS.Signals): Promise<void> {
    if (child === running) child = null
    if (running.exitCode !== null || running.signalCode !== null) return
    const gone = once(running, 'close')
    running.kill(signal)
    await gone
  }

  return {
    invoke(request) {
      const result = tail.then(() => invokeNow(request))
      tail = result.catch(() => {})
      return result
    },
    async kill() {
      if (child) await end(child, 'SIGKILL')
    },
    pid: () => child?.pid ?? null,
  }
}
