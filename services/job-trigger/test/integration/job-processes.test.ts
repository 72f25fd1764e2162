import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bytesText } from '@mesh/shared/core/record'
import type { JobsResponse, Run } from '@mesh/shared/core/runs'
import { LINEAGE_TOPIC } from '@mesh/shared/core/topics'
import { expect, inject, test } from 'vitest'
import type { RunEvent } from '../../src/core/open-lineage.ts'
import { createJobProject, type JobProcess, type JobProject, program } from '../support/job-process.ts'

// One file: all job-triggers of a broker are one group, so that two tests at a time would take it from one another.
const SETTLE = { timeout: 120_000, interval: 100 }

test('killed in the middle of a command: the next process finds it running, and nothing runs twice', async () => {
  const project = await createJobProject(inject('kafkaBrokers'))
  const go = join(project.folder, 'go')
  // Says that it began, then waits for a word.
  const waits = `setInterval(() => fs.existsSync(${JSON.stringify(go)}) && process.exit(0), 20)`
  project.putJob('export', 'command', [program(project, waits)])
  project.putJob('wrong', 'commnad')

  const first = await project.start()
  await project.commits(10)
  await expect.poll(async () => (await first.runs('export'))[0]?.state, SETTLE).toBe('running')
  await expect.poll(project.begun, SETTLE).toHaveLength(1)
  const { jobs } = await answered(() => first.read<JobsResponse>('/v1/jobs'))
  const wrong = jobs.find(({ name }) => name === 'wrong')
  expect(wrong!.error).toMatchObject({
    code: 'MESH_JOB_INVALID',
    message: expect.stringContaining('jobs/wrong.yaml:2'),
  })

  first.child.kill('SIGKILL')
  await once(first.child, 'exit')
  await project.commits(25)
  const second = await project.start()
  await expect.poll(async () => (await second.runs('export'))[0]?.state, SETTLE).toBe('running')
  expect(project.begun()).toHaveLength(1)
  writeFileSync(go, '')
  await expect
    .poll(async () => (await second.runs('export')).map(({ state }) => state), SETTLE)
    .toEqual(['succeeded', 'succeeded'])
  const [later, earlier] = await answered(() => someRuns(second, 'export'))
  expect([earlier, later].map((each) => each!.vector.map(({ from, to }) => [from, to]))).toEqual([
    [[0, 10]],
    [[10, 25]],
  ])
  expect(project.begun()).toEqual([earlier!.id, later!.id])

  second.child.kill('SIGTERM')
  expect(await once(second.child, 'exit')).toEqual([0, null])
  await project.forget()
}, 600_000)

test('two at once, one falls silent and wakes: whoever wrote out of turn ends, nothing is missed, no vector runs twice', async () => {
  const project = await createJobProject(inject('kafkaBrokers'))
  // The job's name is of this test alone: runs of all tests lie in one topic.
  const job = `export-${randomUUID().slice(0, 8)}`
  project.putJob(job, 'command', [program(project, '')])
  const alive: JobProcess[] = []
  const codes: (number | null)[] = []
  let stopping = false
  let keeping = Promise.resolve()
  /** As a supervisor does: what ends is started again. */
  async function keep(place: number): Promise<void> {
    const started = await project.start()
    alive[place] = started
    started.child.once('exit', (code) => {
      if (stopping) return
      codes.push(code)
      keeping = keep(place)
    })
  }
  await keep(0)
  await keep(1)
  // Both have joined: the group gives the topic away once more when the second one comes.
  for (const each of [0, 1]) await answered(() => alive[each]!.read('/readyz'))
  await answered(() => activeOf(alive))
  await project.commits(10)
  await expect.poll(async () => (await (await activeOf(alive))?.runs(job))?.[0]?.state, SETTLE).toBe('succeeded')

  // Not dead, only silent: its connections stay open, and it goes on where it stood.
  const silent = await answered(() => activeOf(alive))
  silent.child.kill('SIGSTOP')
  await project.commits(20)
  await expect.poll(() => activeOf(alive.filter((each) => each !== silent)), SETTLE).not.toBeNull()
  await expect.poll(project.begun, SETTLE).toHaveLength(2)
  silent.child.kill('SIGCONT')
  await project.commits(30)
  await expect
    .poll(async () => {
      const runs = (await (await activeOf(alive))?.runs(job)) ?? []
      return runs.map(({ state, vector }) => [state, vector[0]?.from, vector[0]?.to])
    }, SETTLE)
    .toEqual([
      ['succeeded', 20, 30],
      ['succeeded', 10, 20],
      ['succeeded', 0, 10],
    ])
  expect(new Set(project.begun()).size).toBe(3)
  expect(project.begun()).toHaveLength(3)
  // Found out, and ended to read anew: never an end that looks like success.
  expect(codes.every((code) => code !== 0)).toBe(true)

  stopping = true
  // One that has ended just now is being started again.
  await keeping
  for (const { child } of alive) {
    child.kill('SIGTERM')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
  await project.forget()
}, 600_000)

test('a vector that always fails is given up after its attempts, with its pauses in sight; another job and later input go on', async () => {
  const project = await createJobProject(inject('kafkaBrokers'))
  // The job's names are of this test alone: runs of all tests lie in one topic.
  const [poison, healthy] = ['poison', 'healthy'].map((name) => `${name}-${randomUUID().slice(0, 8)}`) as [
    string,
    string,
  ]
  const fails = `process.exit(JSON.parse(fs.readFileSync(process.env.MESH_INPUT)).vector[0].from === 0 ? 3 : 0)`
  project.putJob(poison, 'command', [
    'retries: { attempts: 3, backoff: 300ms, maxBackoff: 1s }',
    program(project, fails),
  ])
  project.putJob(healthy, 'command', [program(project, '')])
  const trigger = await project.start()
  await project.commits(10)
  await expect.poll(async () => (await trigger.runs(poison))[0]?.state, SETTLE).toBe('dead')
  const [dead] = await answered(() => someRuns(trigger, poison))
  expect(dead!.attempts.map(({ number, error }) => [number, error?.message])).toEqual(
    [1, 2, 3].map((number) => [number, 'the command ended with exit code 3']),
  )
  // Half of a pause is fixed, half is jitter; the second is twice the first.
  const pauses = dead!.attempts
    .slice(1)
    .map(({ startedAt }, i) => Date.parse(startedAt) - Date.parse(dead!.attempts[i]!.endedAt!))
  expect(pauses[0]).toBeGreaterThanOrEqual(150)
  expect(pauses[1]).toBeGreaterThanOrEqual(300)
  await expect.poll(async () => (await trigger.runs(healthy))[0]?.state, SETTLE).toBe('succeeded')
  await project.commits(20)
  await expect
    .poll(async () => (await trigger.runs(poison)).map(({ state, vector }) => [state, vector[0]?.from]), SETTLE)
    .toEqual([
      ['succeeded', 10],
      ['dead', 0],
    ])

  // What happened is on the lineage topic too: each attempt a run of its own.
  await expect
    .poll(async () => (await lineage(project, poison)).filter((type) => type === 'COMPLETE'), SETTLE)
    .toHaveLength(1)
  const told = await lineage(project, poison)
  expect(told.filter((type) => type === 'FAIL')).toHaveLength(3)
  expect(told.filter((type) => type === 'START')).toHaveLength(4)
  await expect.poll(() => lineage(project, healthy), SETTLE).toContain('COMPLETE')

  trigger.child.kill('SIGTERM')
  expect(await once(trigger.child, 'exit')).toEqual([0, null])
  await project.forget()
}, 600_000)

/** Types of the OpenLineage events of a job, one per run and type: an event may be told twice. */
async function lineage({ kafka }: JobProject, job: string): Promise<string[]> {
  const offsets = await kafka.admin.offsets(LINEAGE_TOPIC)
  const ranges = offsets.map(({ partition, logStartOffset: from, highWatermark: to }) => ({ partition, from, to }))
  const told = new Map<string, string>()
  await kafka.readRanges(LINEAGE_TOPIC, ranges, ({ records }) => {
    for (const { value } of records) {
      const event = JSON.parse(bytesText(value!)) as RunEvent
      if (event.job.name === job) told.set(`${event.run.runId} ${event.eventType}`, event.eventType)
    }
  })
  return [...told.values()]
}

/** Asks until there is an answer: a busy process may take longer than one question waits. */
async function answered<T>(ask: () => Promise<T | null>): Promise<T> {
  let answer: T | null = null
  await expect.poll(async () => (answer = await ask()), SETTLE).not.toBeNull()
  return answer!
}

async function someRuns(process: JobProcess, job: string): Promise<readonly Run[] | null> {
  const runs = await process.runs(job)
  return runs.length > 0 ? runs : null
}

/** The one that the group has given the topic, of those that answer. */
async function activeOf(processes: readonly JobProcess[]): Promise<JobProcess | null> {
  for (const each of processes) {
    const ready = await each.read<{ detail?: { active?: boolean } }>('/readyz')
    if (JSON.stringify(ready).includes('"active":true')) return each
  }
  return null
}
