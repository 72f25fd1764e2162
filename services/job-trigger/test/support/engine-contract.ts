import { isMeshError } from '@mesh/shared/core/errors'
import type { JobDefinition } from '@mesh/shared/schema/job-file'
import { until } from '@mesh/shared/testing/until'
import { describe, expect, test } from 'vitest'
import type { Execution, ExecutionStatus, JobEngine } from '../../src/core/ports.ts'
import { runInput } from '../../src/core/run-input.ts'
import { job, run } from './jobs.ts'

export type EngineUnderTest = {
  engine(): JobEngine
  /** A job whose executions end well, end badly, or go on until they are cancelled. */
  jobs: {
    readonly good: Partial<JobDefinition>
    readonly bad: Partial<JobDefinition>
    readonly endless: Partial<JobDefinition>
  }
  /** How often an execution of the id was really begun. */
  begun(id: string): number
  /** The engine cannot be reached; resolves with the way back. Null: it cannot be away. */
  away: (() => Promise<() => Promise<void>>) | null
  /** An engine as a job-trigger has it that was started after a kill -9 of the one before. */
  afterKill(): JobEngine
  /** What engines do is theirs: cancelling may mean no more than not waiting any longer. */
  cancels: boolean
  /** How long an execution may take; default 50 s. */
  settleMs?: number
}

let next = 0
export function executionOf(definition: JobDefinition): Execution {
  const own = {
    ...run(`${definition.name}.${(next++).toString(16).padStart(20, '0')}`),
    attempt: 1,
    state: 'running' as const,
  }
  const id = `${own.id}.1`
  return { id, run: own, job: definition, input: runInput(own, id) }
}

/** What every engine keeps, in memory or real. */
export function describeEngine(name: string, subject: EngineUnderTest): void {
  const of = (part: Partial<JobDefinition>): Execution => executionOf(job({ name: 'contract', ...part }))
  const settled = async (engine: JobEngine, execution: Execution): Promise<ExecutionStatus> => {
    let status: ExecutionStatus = { state: 'unknown' }
    await until(
      async () => {
        // An engine that is slow to answer is asked again, as its caller does.
        status = await engine.status(execution).catch((error: unknown) => {
          if (!isMeshError(error) || error.code !== 'MESH_JOB_ENGINE_UNSURE') throw error
          return { state: 'running' } as const
        })
        return status.state !== 'running'
      },
      'the execution to settle',
      subject.settleMs ?? 50_000,
    )
    return status
  }

  describe(`the engine ${name}`, () => {
    test('knows nothing of what was never submitted', async () => {
      expect(await subject.engine().status(of(subject.jobs.good))).toEqual({ state: 'unknown' })
    })

    test('runs to a result, and tells it as often as it is asked', async () => {
      const execution = of(subject.jobs.good)
      await subject.engine().submit(execution)
      const first = await settled(subject.engine(), execution)
      expect(first.state).toBe('succeeded')
      expect(await subject.engine().status(execution)).toEqual(first)
    })

    test('a second submit of an execution begins nothing', async () => {
      const execution = of(subject.jobs.good)
      await subject.engine().submit(execution)
      await subject.engine().submit(execution)
      expect((await settled(subject.engine(), execution)).state).toBe('succeeded')
      await subject.engine().submit(execution)
      expect((await settled(subject.engine(), execution)).state).toBe('succeeded')
      expect(subject.begun(execution.id)).toBe(1)
    })

    test('a failure is a status with its reason, not an exception', async () => {
      const execution = of(subject.jobs.bad)
      await subject.engine().submit(execution)
      const status = await settled(subject.engine(), execution)
      expect(status).toMatchObject({ state: 'failed', error: { code: 'MESH_JOB_FAILED' } })
      expect(status.state === 'failed' && status.error.message.length).toBeGreaterThan(5)
    })

    if (subject.cancels)
      test('what is cancelled ends, as failed', async () => {
        const execution = of(subject.jobs.endless)
        await subject.engine().submit(execution)
        expect((await subject.engine().status(execution)).state).toBe('running')
        await subject.engine().cancel(execution)
        expect((await settled(subject.engine(), execution)).state).toBe('failed')
      })

    test('after a kill of the job-trigger an execution is found again, and is not begun a second time', async () => {
      const execution = of(subject.jobs.good)
      await subject.engine().submit(execution)
      const other = subject.afterKill()
      const status = await settled(other, execution)
      if (status.state === 'unknown') await other.submit(execution)
      expect((await settled(other, execution)).state).toBe('succeeded')
      expect(subject.begun(execution.id)).toBe(1)
      await other.close()
    })

    if (subject.away !== null)
      test('an engine that cannot be reached says so, and takes the execution later', async () => {
        const back = await subject.away!()
        const execution = of(subject.jobs.good)
        await expect(subject.engine().submit(execution)).rejects.toMatchObject({ code: 'MESH_JOB_ENGINE_AWAY' })
        await back()
        await subject.engine().submit(execution)
        const status = await settled(subject.engine(), execution)
        const log = status.state === 'succeeded' ? '' : await subject.engine().logs(execution)
        expect(status.state, `${JSON.stringify(status)}\n${log}`).toBe('succeeded')
      })
  })
}
