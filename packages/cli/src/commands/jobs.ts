import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import type { JobsResponse, Run, RunState, RunsResponse } from '@mesh/shared/core/runs'
import { readJobsFolder } from '@mesh/shared/schema/jobs-folder'
import type { Command, CommandContext } from '../command.ts'
import { flinkProblems } from '../flink/check.ts'
import { callJson } from '../http-json.ts'
import { inputText, renderJobs, renderRuns } from '../render-jobs.ts'
import { withMesh } from '../running-mesh.ts'
import { streamNames } from '../streams/project.ts'
import { waitFor } from '../wait-for.ts'

export const jobs: Command = {
  name: 'jobs',
  summary:
    'list jobs and their runs, check their files, run one, stop and resume one that streams, try a dead run again, read its log',
  usage: 'list | check | run <job> | stop <job> | resume <job> | status [job|run] | retry <run> | logs <run>',
  options: {
    full: { type: 'boolean', doc: 'run: everything anew, from the start of every input' },
    from: { type: 'string', doc: 'resume: a savepoint or checkpoint other than the one the run knows' },
    wait: {
      type: 'boolean',
      doc: 'run, retry, stop: wait for the end; resume: until it streams; exit code 1 if it came to something else',
    },
  },
  async run(context) {
    const [action = 'list', name, ...rest] = context.positionals
    if (rest.length > 0) throw new MeshError('MESH_CLI_USAGE', `jobs ${action} takes one name`)
    if (action === 'check') return check(context)
    if (action === 'list') return list(context)
    if (action === 'status') return status(context, name)
    if (action === 'run') return run(context, needed(name, 'jobs run <job>'))
    if (action === 'stop') return stop(context, needed(name, 'jobs stop <job>'))
    if (action === 'resume') return resume(context, needed(name, 'jobs resume <job>'))
    if (action === 'retry') return retry(context, needed(name, 'jobs retry <run>'))
    if (action === 'logs') return logs(context, needed(name, 'jobs logs <run>'))
    throw new MeshError(
      'MESH_CLI_USAGE',
      `jobs takes list, check, run, stop, resume, status, retry or logs, not '${action}'`,
    )
  },
}

/** Needs no running mesh. */
async function check(context: CommandContext): Promise<number> {
  const project = context.projectDir()
  const files = await readJobsFolder(join(project, 'jobs'), await streamNames(join(project, 'streams')))
  const engineProblems = await flinkProblems(project, files)
  if (context.json) {
    const shown = files.map(({ file, job, error }) => ({
      file,
      job,
      error: error && { code: error.code, message: error.message },
    }))
    context.print(JSON.stringify(shown, null, 2))
  } else {
    for (const { file, job, error } of files) {
      if (error) context.print(error.message)
      else
        context.print(
          `${file}: ${job!.engine}, over ${job!.inputs.map(({ stream, layer }) => `${layer} of ${stream}`).join(', ')}`,
        )
    }
    if (files.length === 0) context.print('no job: jobs/*.yaml holds them')
  }
  for (const { text } of engineProblems) context.note(text)
  return files.some(({ error }) => error !== null) || engineProblems.length > 0 ? 1 : 0
}

function list(context: CommandContext): Promise<number> {
  return withMesh(context, async ({ jobTriggerUrl }) => {
    const { jobs: found } = await callJson<JobsResponse>(`${jobTriggerUrl}/v1/jobs`)
    if (context.json) context.print(JSON.stringify(found, null, 2))
    else {
      context.print(renderJobs(found, Date.now()))
      for (const { error } of found) if (error) context.note(error.message)
    }
    return found.some(({ error }) => error !== null) ? 1 : 0
  })
}

function status(context: CommandContext, name: string | undefined): Promise<number> {
  return withMesh(context, async ({ jobTriggerUrl }) => {
    if (name?.includes('.')) {
      context.print(
        JSON.stringify(await callJson<Run>(`${jobTriggerUrl}/v1/runs/${encodeURIComponent(name)}`), null, 2),
      )
      return 0
    }
    const query = name === undefined ? '' : `?job=${encodeURIComponent(name)}`
    const { runs } = await callJson<RunsResponse>(`${jobTriggerUrl}/v1/runs${query}`)
    context.print(context.json ? JSON.stringify(runs, null, 2) : renderRuns(runs.slice(0, 50), Date.now()))
    return 0
  })
}

function run(context: CommandContext, job: string): Promise<number> {
  return withMesh(context, async ({ jobTriggerUrl }) => {
    const url = `${jobTriggerUrl}/v1/jobs/${encodeURIComponent(job)}/run`
    const planned = await callJson<Run>(url, { method: 'POST', body: { full: context.flag('full') } })
    return follow(context, jobTriggerUrl, planned)
  })
}

function retry(context: CommandContext, id: string): Promise<number> {
  return withMesh(context, async ({ jobTriggerUrl }) => {
    const url = `${jobTriggerUrl}/v1/runs/${encodeURIComponent(id)}/retry`
    return follow(context, jobTriggerUrl, await callJson<Run>(url, { method: 'POST', body: {} }))
  })
}

function stop(context: CommandContext, job: string): Promise<number> {
  return withMesh(context, async ({ jobTriggerUrl }) => {
    const url = `${jobTriggerUrl}/v1/jobs/${encodeURIComponent(job)}/stop`
    const asked = await callJson<Run>(url, { method: 'POST', body: {} })
    // A savepoint that could not be taken withdraws the request: the job streams on.
    const isOver = ({ state, streaming }: Run): boolean => isEnded(state) || streaming?.stop === null
    return follow(context, jobTriggerUrl, asked, { isOver, good: ['stopped'] })
  })
}

function resume(context: CommandContext, job: string): Promise<number> {
  return withMesh(context, async ({ jobTriggerUrl }) => {
    const from = context.text('from')
    const url = `${jobTriggerUrl}/v1/jobs/${encodeURIComponent(job)}/resume`
    const again = await callJson<Run>(url, { method: 'POST', body: from === undefined ? {} : { from } })
    return follow(context, jobTriggerUrl, again, { isOver: streamsOrEnded, good: ['running'] })
  })
}

const isEnded = (state: RunState): boolean => ['succeeded', 'dead', 'superseded', 'stopped'].includes(state)
/** A run that streams has no end to wait for. */
const streamsOrEnded = ({ state, streaming }: Run): boolean =>
  isEnded(state) || (state === 'running' && streaming?.engineState === 'RUNNING')

type Following = { readonly isOver: (run: Run) => boolean; readonly good: readonly RunState[] }
const TO_ITS_END: Following = { isOver: streamsOrEnded, good: ['succeeded', 'running'] }

async function follow(
  context: CommandContext,
  url: string,
  planned: Run,
  { isOver, good }: Following = TO_ITS_END,
): Promise<number> {
  let last = planned
  if (context.flag('wait')) {
    last = await waitFor(
      async () => {
        const found = await callJson<Run>(`${url}/v1/runs/${encodeURIComponent(planned.id)}`)
        return isOver(found) ? found : null
      },
      { what: `run ${planned.id} to end`, timeoutMs: 3_600_000 },
    )
  }
  if (context.json) context.print(JSON.stringify(last, null, 2))
  else {
    context.print(`${last.id} ${last.state}: ${inputText(last)}`)
    for (const { name, status: state } of last.result?.outputs ?? []) context.print(`  ${name}  ${state}`)
    if (last.result?.message) context.print(`  ${last.result.message}`)
    const { savepoint } = last.result?.artefacts ?? {}
    if (savepoint !== undefined) context.print(`  savepoint  ${savepoint}`)
    if (last.error) context.note(`${last.error.code}: ${last.error.message}`)
  }
  return context.flag('wait') && !good.includes(last.state) ? 1 : 0
}

function logs(context: CommandContext, id: string): Promise<number> {
  return withMesh(context, async ({ jobTriggerUrl }) => {
    const response = await fetch(`${jobTriggerUrl}/v1/runs/${encodeURIComponent(id)}/logs`)
    if (!response.ok) throw new MeshError('MESH_JOB_UNKNOWN', `there is no run ${id}`)
    context.print((await response.text()).trimEnd())
    return 0
  })
}

function needed(name: string | undefined, usage: string): string {
  if (name === undefined) throw new MeshError('MESH_CLI_USAGE', `usage: mesh ${usage}`)
  return name
}
