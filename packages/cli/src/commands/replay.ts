import { MeshError } from '@mesh/shared/core/errors'
import type { ReplayBound, ReplayJob, ReplayRequest, ReplaysResponse } from '@mesh/shared/core/replay-api'
import { putBundle } from '@mesh/shared/schema/bundle'
import type { Command, CommandContext } from '../command.ts'
import { callJson } from '../http-json.ts'
import type { MeshAccess } from '../mesh-access.ts'
import { withMesh } from '../running-mesh.ts'
import { freezeProject } from '../streams/project.ts'
import { renderColumns } from '../table.ts'
import { waitFor } from '../wait-for.ts'

const READY_TIMEOUT_MS = 24 * 3_600_000

export const replay: Command = {
  name: 'replay',
  summary: 'rebuild the derived layers of a stream from history as a candidate version',
  usage: '<stream> | --list | --show ID | --cutover ID | --cancel ID',
  options: {
    from: {
      type: 'string',
      value: 'BOUND',
      doc: 'first record: an RFC 3339 time, or offsets as 0=120,1=80 (default: the beginning)',
    },
    to: { type: 'string', value: 'BOUND', doc: 'end, exclusive, likewise (default: now)' },
    source: { type: 'string', value: 'NAME', doc: 'auto (default), lake or log' },
    rate: { type: 'string', value: 'NUMBER', doc: 'at most so many records per second' },
    'new-code': {
      type: 'boolean',
      doc: 'with the folder as it is: contract, schema and refine.ts (default: what runs)',
    },
    'then-cutover': { type: 'boolean', doc: 'cut over as soon as the candidate is ready' },
    'no-wait': { type: 'boolean', doc: 'start the job and return' },
    list: { type: 'boolean', doc: 'list replay jobs' },
    show: { type: 'string', value: 'ID', doc: 'show one job' },
    cutover: { type: 'string', value: 'ID', doc: 'make the candidate of a job live' },
    cancel: { type: 'string', value: 'ID', doc: 'stop a job and remove its candidate' },
  },
  run(context) {
    return withMesh(context, async (mesh) => {
      const url = `${mesh.replayerUrl}/v1/replays`
      if (context.flag('list')) return printJobs(context, (await callJson<ReplaysResponse>(url)).replays)
      const show = context.text('show')
      if (show) return printJobs(context, [await callJson<ReplayJob>(`${url}/${show}`)])
      for (const action of ['cutover', 'cancel'] as const) {
        const id = context.text(action)
        if (id)
          return printJobs(context, [await callJson<ReplayJob>(`${url}/${id}/${action}`, { method: 'POST', body: {} })])
      }
      return startReplay(context, mesh)
    })
  },
}

async function startReplay(context: CommandContext, mesh: MeshAccess): Promise<number> {
  const [stream, ...rest] = context.positionals
  if (!stream || rest.length > 0) throw new MeshError('MESH_CLI_USAGE', 'replay takes one stream')
  const job = await callJson<ReplayJob>(`${mesh.replayerUrl}/v1/replays`, {
    method: 'POST',
    body: { ...requestOf(context, stream), ...(await newCode(context, mesh, stream)) },
  })
  context.note(`replay ${job.id}: ${stream} into v${job.version}`)
  if (context.flag('no-wait')) return printJobs(context, [job])
  const ready = await followJob(context, mesh, job.id)
  if (ready === null || ready.state === 'CANCELLED') return printJobs(context, ready ? [ready] : [job])
  if (!context.flag('then-cutover')) {
    context.note(`the candidate is ready: \`mesh replay --cutover ${job.id}\` makes it live`)
    return printJobs(context, [ready])
  }
  const done = await callJson<ReplayJob>(`${mesh.replayerUrl}/v1/replays/${job.id}/cutover`, {
    method: 'POST',
    body: {},
  })
  context.note(`${stream} v${job.version} is live`)
  return printJobs(context, [done])
}

/** A change that the live version cannot take (an unsafe schema, another table) is the candidate's from its first record on. */
async function newCode(context: CommandContext, { store }: MeshAccess, stream: string): Promise<{ bundle?: string }> {
  if (!context.flag('new-code')) return {}
  const [bundle] = await freezeProject(context.projectDir(), [stream])
  await putBundle(store, bundle!)
  return { bundle: bundle!.hash }
}

/** Shows progress until the job is READY or CANCELLED; null when Ctrl-C ended the watching (the job goes on). */
async function followJob(context: CommandContext, mesh: MeshAccess, id: string): Promise<ReplayJob | null> {
  let lastLine = ''
  return waitFor<ReplayJob | null | undefined>(
    async () => {
      if (context.signal.aborted) return undefined
      const job = await callJson<ReplayJob>(`${mesh.replayerUrl}/v1/replays/${id}`)
      const line = progressLine(job)
      if (line !== lastLine) context.note(line)
      lastLine = line
      return job.state === 'READY' || job.state === 'CANCELLED' ? job : null
    },
    { what: `replay ${id} to be ready`, timeoutMs: READY_TIMEOUT_MS, everyMs: 500 },
  ).then((job) => job ?? null)
}

export function progressLine(job: ReplayJob): string {
  const { partitions, recordsPerSecond, etaSeconds, candidateLag } = job.progress
  const done = partitions.reduce(
    (sum, p) => sum + p.position - (job.plan.partitions.find((plan) => plan.partition === p.partition)?.from ?? 0),
    0,
  )
  const total = partitions.reduce((sum, p) => sum + p.total, 0)
  const percent = total === 0 ? 100 : Math.min(100, Math.floor((100 * done) / total))
  const lag = candidateLag?.reduce((sum, l) => sum + l.enricher + l.silver + l.landing + (l.parked ?? 0), 0)
  const rate =
    recordsPerSecond > 0
      ? `, ${Math.round(recordsPerSecond)} records/s${etaSeconds === null ? '' : `, ${Math.ceil(etaSeconds)} s left`}`
      : ''
  return `  ${job.state.toLowerCase()}: ${percent} % emitted${rate}${lag === undefined ? '' : `, candidate is ${lag} behind`}${job.error ? `, trying again after: ${job.error.message}` : ''}`
}

function requestOf(context: CommandContext, stream: string): ReplayRequest {
  const source = context.text('source')
  if (source !== undefined && source !== 'auto' && source !== 'lake' && source !== 'log') {
    throw new MeshError('MESH_CLI_USAGE', `--source: '${source}' is not auto, lake or log`)
  }
  const [from, to, rate] = [boundOf(context, 'from'), boundOf(context, 'to'), context.text('rate')]
  return {
    stream,
    ...(from ? { from } : {}),
    ...(to ? { to } : {}),
    ...(source ? { source } : {}),
    ...(rate ? { recordsPerSecond: Number(rate) } : {}),
  }
}

function boundOf(context: CommandContext, option: 'from' | 'to'): ReplayBound | undefined {
  const text = context.text(option)
  if (text === undefined || !text.includes('=')) return text
  return Object.fromEntries(
    text.split(',').map((pair) => {
      const [partition = '', offset = ''] = pair.split('=')
      if (!/^\d+$/.test(partition) || !/^\d+$/.test(offset))
        throw new MeshError('MESH_CLI_USAGE', `--${option}: '${pair}' is not PARTITION=OFFSET`)
      return [partition, Number(offset)]
    }),
  )
}

function printJobs(context: CommandContext, jobs: readonly ReplayJob[]): number {
  if (context.json) context.print(JSON.stringify(jobs, null, 2))
  else {
    const rows = jobs.map((job) => [
      job.id,
      job.stream,
      `v${job.version}`,
      job.state,
      progressLine(job).trim(),
      job.createdAt,
    ])
    context.print(renderColumns([['replay', 'stream', 'version', 'state', 'progress', 'created'], ...rows]))
  }
  return 0
}
