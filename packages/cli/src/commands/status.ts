import type { Command, CommandContext } from '../command.ts'
import { readPulled, renderPulled } from '../pulled-view.ts'
import { isBrokerReady } from '../stack/kafka-probe.ts'
import { HOST, isPortOpen, type PortMap } from '../stack/ports.ts'
import { isUp } from '../stack/registry.ts'
import { readRunningStack } from '../stack/running.ts'
import { stateLayout } from '../stack/state.ts'
import type { ProcessStatus } from '../stack/supervisor.ts'
import { renderColumns } from '../table.ts'
import { readSources, renderSources } from './sources.ts'

export const status: Command = {
  name: 'status',
  summary: 'show the processes of the local stack, their ports and health',
  usage: '',
  options: {},
  run: runStatus,
}

/** Exit code 0 only when the stack runs and every process answers as ready. */
async function runStatus(context: CommandContext): Promise<number> {
  const stack = readRunningStack(stateLayout(context.stateDir()))
  if (!stack) {
    if (context.json) context.print(JSON.stringify({ running: false, ready: false, processes: [] }))
    else context.print('mesh is not running; `mesh up` starts it')
    return 1
  }
  const processes = await Promise.all(
    stack.processes.map(async (process) => ({ ...process, healthy: await isHealthy(process, stack.ports) })),
  )
  const gateway = { url: stack.addresses.services['ingest-gateway'] ?? '', apiKey: null }
  const sources = await readSources({ gateway }).catch(() => [])
  const pulled = await readPulled(gateway.url)
  const { ready, startedAt, supervisor, addresses } = stack
  if (context.json) {
    context.print(
      JSON.stringify({ running: true, ready, startedAt, supervisor, addresses, processes, sources, pulled }, null, 2),
    )
  } else {
    const header = ['process', 'state', 'health', 'pid', 'port', 'restarts', 'log']
    const rows = processes.map((process) => [
      process.name,
      process.state,
      process.healthy ? 'ready' : 'not ready',
      String(process.pid ?? '-'),
      String(process.port),
      String(process.restarts),
      process.logFile,
    ])
    context.print(renderColumns([header, ...rows]))
    if (sources.length > 0) context.print(`\n${renderSources(sources)}`)
    if (pulled.length > 0) context.print(`\n${renderPulled(pulled)}`)
    if (!ready) context.note('mesh is still starting')
  }
  return ready && processes.every((process) => process.healthy) ? 0 : 1
}

async function isHealthy(process: ProcessStatus, ports: PortMap): Promise<boolean> {
  if (process.state !== 'running') return false
  if (process.name === 'kafka') return isBrokerReady(HOST, process.port)
  if (process.name === 'kafka-connect') return isUp(`http://${HOST}:${process.port}/connectors`).catch(() => false)
  if (process.name === 'postgres') return isPortOpen(process.port)
  const path = process.name === 'registry' ? `${ports['registry-management']}/health/ready` : `${process.port}/readyz`
  return isUp(`http://${HOST}:${path}`).catch(() => false)
}
