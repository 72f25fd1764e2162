import { MeshError } from '@mesh/shared/core/errors'
import type { Execution, ExecutionStatus, JobEngine } from '../../src/core/ports.ts'

/** An engine in memory: what it has is what outlives the job-trigger, as a real one would. */
export type FakeEngine = JobEngine & {
  /** Executions that it began, in order; an id twice is a run twice. */
  readonly begun: Execution[]
  /** Runs that ended well, in order. */
  readonly done: Execution[]
  away: boolean
  /** A submission resolves only after it, as one that is compiled for minutes. */
  compiled: Promise<void>
  /** Decides what a new execution comes to; `hold` leaves it running. */
  behave: (execution: Execution) => 'succeed' | 'fail' | 'hold'
  finish(id: string, how: 'succeed' | 'fail'): void
  /** As a JobManager that was started anew; what it gives recovers the execution. */
  forget(id: string): () => void
  /** Of executions that stream: the newest checkpoint, by execution id. */
  readonly checkpoints: Map<string, string>
  /** 'good', or why none can be taken. */
  savepoints: string
  programText: string
}

export function createFakeEngine(): FakeEngine {
  const statuses = new Map<string, ExecutionStatus>()
  const executions = new Map<string, Execution>()
  const engine: FakeEngine = {
    begun: [],
    done: [],
    away: false,
    compiled: Promise.resolve(),
    behave: () => 'succeed',
    checkpoints: new Map(),
    savepoints: 'good',
    programText: 'program',
    forget(id) {
      const status = statuses.get(id)!
      statuses.delete(id)
      return () => void statuses.set(id, status)
    },
    streaming: {
      async stop({ id }) {
        if (engine.away) throw new MeshError('MESH_JOB_ENGINE_AWAY', 'nobody listens')
        if (engine.savepoints !== 'good') return engine.savepoints
        const savepoint = `savepoint-of-${id}`
        const result = { outputs: [], artefacts: { savepoint }, message: null }
        if (statuses.get(id)?.state === 'running') statuses.set(id, { state: 'stopped', savepoint, result })
        return null
      },
      program: async () => engine.programText,
    },
    pollMs: 100,
    async submit(execution) {
      if (engine.away) throw new MeshError('MESH_JOB_ENGINE_AWAY', 'nobody listens')
      if (statuses.has(execution.id)) return
      engine.begun.push(execution)
      executions.set(execution.id, execution)
      await engine.compiled
      statuses.set(execution.id, { state: 'running' })
      const outcome = engine.behave(execution)
      if (outcome !== 'hold') engine.finish(execution.id, outcome)
    },
    async status({ id }) {
      if (engine.away) throw new MeshError('MESH_JOB_ENGINE_AWAY', 'nobody listens')
      return statuses.get(id) ?? { state: 'unknown' }
    },
    async cancel({ id }) {
      if (statuses.get(id)?.state === 'running') engine.finish(id, 'fail')
    },
    logs: async () => 'log',
    close: async () => {},
    finish(id, how) {
      const result = { outputs: [{ name: 'gold.t', status: 'success' }], artefacts: {}, message: null }
      if (how === 'succeed') engine.done.push(executions.get(id)!)
      statuses.set(
        id,
        how === 'succeed'
          ? { state: 'succeeded', result }
          : {
              state: 'failed',
              error: { code: 'MESH_JOB_FAILED', message: 'a model failed' },
              result,
              checkpoint: engine.checkpoints.get(id) ?? null,
            },
      )
    },
  }
  return engine
}
