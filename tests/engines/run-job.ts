import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JobsResponse, Run, RunsResponse } from '@mesh/shared/core/runs'
import { callJson } from '../../packages/cli/src/http-json.ts'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import type { MeshUnderTest } from '../e2e/mesh-under-test.ts'

/** Writes jobs/<name>.yaml into the mesh's project; job-trigger takes it up. */
export function putJob(mesh: MeshUnderTest, name: string, lines: readonly string[]): void {
  writeFileSync(join(mesh.projectDir, 'jobs', `${name}.yaml`), [`name: ${name}`, ...lines, ''].join('\n'))
}

/** Takes a job away, and waits until job-trigger has let go of it: no later record sets it off, and what comes is one input of the run that follows its return. */
export async function dropJob(mesh: MeshUnderTest, name: string): Promise<void> {
  rmSync(join(mesh.projectDir, 'jobs', `${name}.yaml`))
  const url = mesh.stack.addresses.services['job-trigger']!
  await waitFor(
    async () => {
      const { jobs } = await callJson<JobsResponse>(`${url}/v1/jobs`)
      return jobs.some((job) => job.name === name) ? null : true
    },
    { what: `${name} to be dropped`, timeoutMs: 60_000 },
  )
}

/** Until the job has been given everything, and each of its runs ended well. @throws Error with the log of a run that is dead */
export async function everyRun(mesh: MeshUnderTest, job: string): Promise<readonly Run[]> {
  const url = mesh.stack.addresses.services['job-trigger']!
  let last: readonly Run[] = []
  await waitFor(
    async () => {
      const { jobs } = await callJson<JobsResponse>(`${url}/v1/jobs`)
      last = (await callJson<RunsResponse>(`${url}/v1/runs?job=${job}`)).runs
      const dead = last.find(({ state }) => state === 'dead')
      if (dead) throw new Error((await (await fetch(`${url}/v1/runs/${dead.id}/logs`)).text()).slice(-4000))
      const over = last.every(({ state }) => state === 'succeeded' || state === 'superseded')
      return last.length > 0 && over && jobs.find(({ name }) => name === job)?.pendingOffsets === 0 ? true : null
    },
    {
      what: `the runs of ${job} to end`,
      timeoutMs: 1_700_000,
      progress: () => JSON.stringify(last.map((run) => [run.id, run.state, run.error])),
    },
  )
  return last.filter(({ state }) => state === 'succeeded')
}
