import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import type { ErrorCode } from '@mesh/shared/core/error-codes'
import { MeshError } from '@mesh/shared/core/errors'
import type { Command, CommandContext } from '../command.ts'
import type { DaemonReport } from '../stack/daemon.ts'
import { readRunningStack } from '../stack/running.ts'
import type { StackFile } from '../stack/stack.ts'
import { stateLayout } from '../stack/state.ts'
import { type PlainStackOptions, STACK_OPTIONS, stackOptionsOf } from '../stack-options.ts'
import { renderColumns } from '../table.ts'

export const up: Command = {
  name: 'up',
  summary: 'start the local stack in the background and wait until it is ready',
  usage: '',
  options: STACK_OPTIONS,
  run: runUp,
}

async function runUp(context: CommandContext): Promise<number> {
  const options = stackOptionsOf(context)
  const layout = stateLayout(options.stateDir)
  const running = readRunningStack(layout)
  if (running?.ready && !options.fresh) {
    context.note('mesh is already running')
    printStack(context, running)
    return 0
  }
  const startedAt = Date.now()
  await startDaemon(context, options)
  const stack = readRunningStack(layout)
  if (!stack) throw new MeshError('MESH_STACK_NOT_RUNNING', 'the stack stopped as soon as it was ready')
  context.note(`mesh is up (${((Date.now() - startedAt) / 1000).toFixed(1)} s); \`mesh down\` stops it`)
  printStack(context, stack)
  return 0
}

/** Resolves when the stack is ready; throws what kept it from that. A Ctrl-C stops it again. */
async function startDaemon(context: CommandContext, options: PlainStackOptions): Promise<void> {
  const logs = stateLayout(options.stateDir).logs
  mkdirSync(logs, { recursive: true })
  const log = openSync(join(logs, 'stack.log'), 'a')
  const daemon = spawn(
    process.execPath,
    [join(context.codeDir, 'packages', 'cli', 'src', 'stack', 'daemon.ts'), JSON.stringify(options)],
    { cwd: context.codeDir, env: { ...context.env }, detached: true, stdio: ['ignore', log, log, 'ipc'] },
  )
  closeSync(log)
  const cancel = (): boolean => daemon.kill('SIGTERM')
  context.signal.addEventListener('abort', cancel)
  try {
    await new Promise<void>((resolve, reject) => {
      let failure: MeshError | undefined
      daemon.on('message', (report: DaemonReport) => {
        if (report.kind === 'progress') context.note(`  ${report.name} ${report.text}`)
        else if (report.kind === 'ready') resolve()
        else failure = errorOf(report)
      })
      daemon.once('error', reject)
      daemon.once('exit', () => reject(failure ?? endedEarly(logs)))
    })
  } finally {
    context.signal.removeEventListener('abort', cancel)
    if (daemon.connected) daemon.disconnect()
    daemon.unref()
  }
}

function errorOf(report: Extract<DaemonReport, { kind: 'failed' }>): MeshError {
  return new MeshError(
    report.code as ErrorCode,
    report.message,
    report.place === undefined ? {} : { place: report.place },
  )
}

function endedEarly(logs: string): MeshError {
  return new MeshError('MESH_STACK_CHILD_FAILED', 'the supervisor ended before the stack was ready', {
    place: join(logs, 'stack.log'),
  })
}

/** Where everything answers. */
export function printStack(context: CommandContext, stack: StackFile): void {
  const { addresses } = stack
  if (context.json) return context.print(JSON.stringify(addresses, null, 2))
  const started = new Set(stack.processes.map((process) => process.name))
  const rows = [
    ...(started.has('kafka') ? [['  kafka', addresses.kafkaBrokers]] : []),
    ...(started.has('registry') ? [['  schema registry', addresses.registryUrl]] : []),
    ...(started.has('kafka-connect') ? [['  Kafka Connect', addresses.connectUrl ?? '']] : []),
    ...Object.entries(addresses.services).map(([name, url]) => [`  ${name}`, url]),
    ['  lake', addresses.lakeUrl],
    ['  warehouse', addresses.warehouseUrl],
  ]
  context.print(renderColumns(rows))
}
