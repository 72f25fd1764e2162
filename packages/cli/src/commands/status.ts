import type { JobsResponse, JobView } from '@mesh/shared/core/runs'
import type { Command, CommandContext } from '../command.ts'
import { callJson } from '../http-json.ts'
import { readPulled, renderPulled } from '../pulled-view.ts'
import { renderJobs } from '../render-jobs.ts'
import { isBrokerReady } from '../stack/kafka-probe.ts'
import { HOST, isPortOpen } from '../stack/ports.ts'
import { isUp } from '../stack/registry.ts'
import { readRunningStack } from '../stack/running.ts'
import { runningLayout } from '../stack/running-layout.ts'
import type { StackFile } from '../stack/stack.ts'
import type { ProcessStatus } from '../stack/supervisor.ts'
import { describeStanding, type Readyz } from '../standing.ts'
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
  const stack = readRunningStack(runningLayout(context))
  if (!stack) {
    if (context.json) context.print(JSON.stringify({ running: false, ready: false, processes: [] }))
    else context.print('mesh is not running; `mesh up` starts it')
    return 1
  }
  const processes = await Promise.all(
    stack.processes.map(async (process) => ({
      ...process,
      healthy: await isHealthy(process, stack),
      standing: await standingOf(process, stack),
    })),
  )
  const gateway = { url: stack.addresses.services['ingest-gateway'] ?? '', apiKey: null }
  const sources = await readSources({ gateway }).catch(() => [])
  const pulled = await readPulled(gateway.url)
  const { ready, startedAt, supervisor, addresses } = stack
  const jobs = await jobsOf(addresses.services['job-trigger'])
  if (context.json) {
    const found = { running: true, ready, startedAt, supervisor, addresses, processes, jobs, sources, pulled }
    context.print(JSON.stringify(found, null, 2))
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
    for (const { name, standing } of processes) for (const line of standing) context.print(`${name}: ${line}`)
    if (jobs && jobs.length > 0) context.print(`\n${renderJobs(jobs, Date.now())}`)
    if (sources.length > 0) context.print(`\n${renderSources(sources)}`)
    if (pulled.length > 0) context.print(`\n${renderPulled(pulled)}`)
    if (!ready) context.note('mesh is still starting')
  }
  return ready && processes.every((process) => process.healthy) ? 0 : 1
}

/** Null when job-trigger does not answer, which the table of processes says. */
async function jobsOf(url: string | undefined): Promise<readonly JobView[] | null> {
  if (url === undefined) return null
  const answer = await callJson<JobsResponse>(`${url}/v1/jobs`, { timeoutMs: 3000 }).catch(() => null)
  return answer?.jobs ?? null
}

async function isHealthy(process: ProcessStatus, { ports, addresses }: StackFile): Promise<boolean> {
  if (process.state !== 'running') return false
  if (process.name === 'kafka') return isBrokerReady(HOST, process.port)
  if (process.name === 'kafka-connect') return isUp(`http://${HOST}:${process.port}/connectors`).catch(() => false)
  const isRegistry = process.name === 'registry'
  // What a demonstration brings along (a database, an API) has no readiness of the mesh's.
  if (!isRegistry && addresses.services[process.name] === undefined) return isPortOpen(process.port)
  const path = isRegistry ? `${ports['registry-management']}/health/ready` : `${process.port}/readyz`
  return isUp(`http://${HOST}:${path}`).catch(() => false)
}

/** What a service says of tasks that cannot start and partitions that stand still; nothing when it does not answer. */
async function standingOf({ name, state, port }: ProcessStatus, { addresses }: StackFile): Promise<readonly string[]> {
  if (state !== 'running' || addresses.services[name] === undefined) return []
  try {
    const response = await fetch(`http://${HOST}:${port}/readyz`, { signal: AbortSignal.timeout(1000) })
    return describeStanding((await response.json()) as Readyz)
  } catch {
    return []
  }
}
