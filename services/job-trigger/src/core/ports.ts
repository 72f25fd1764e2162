import type { Run, RunError, RunResult, StreamPositions } from '@mesh/shared/core/runs'
import type { EngineName, JobDefinition } from '@mesh/shared/schema/job-file'
import type { RunInput } from './run-input.ts'

export interface Clock {
  /** Epoch ms. */
  now(): number
  /** Resolves after `ms`, or at once when the signal is aborted. */
  wait(ms: number, signal: AbortSignal): Promise<void>
}

/** One attempt of a run, as an engine gets it. */
export type Execution = {
  /** `<run>.<attempt>`: deterministic; an engine that knows it does not begin again. */
  readonly id: string
  readonly run: Run
  readonly job: JobDefinition
  readonly input: RunInput
}

export type ExecutionStatus =
  /** The engine has never had it, or lost it before it did anything that lasts: it may be submitted. */
  | { readonly state: 'unknown' }
  | { readonly state: 'running'; readonly stream?: StreamLook }
  /** A run that streams, ended with a savepoint; `result` names it too. */
  | { readonly state: 'stopped'; readonly savepoint: string; readonly result: RunResult }
  | { readonly state: 'succeeded'; readonly result: RunResult }
  | {
      readonly state: 'failed'
      readonly error: RunError
      readonly result: RunResult | null
      /** Of a run that streams: its newest checkpoint, where it made one. */
      readonly checkpoint?: string | null
    }

/** What an engine says of a run that streams. */
export type StreamLook = {
  readonly engineState: string
  /** Name → URL or path: the job's page, its newest checkpoint. */
  readonly artefacts: Readonly<Record<string, string>>
}

/** What an engine has beside the rest that keeps runs which stream. */
export interface StreamControl {
  /**
   * Asks for an end with a savepoint; `status` tells `stopped` once there is one. Under the same `at` it is one request, however
   * often it is made. Resolves with the reason, once there is one, why there is no savepoint: the run then streams on.
   * @throws MeshError as the engine's other calls
   */
  stop(execution: Execution, at: string): Promise<string | null>
  /** Hash of what would be submitted by now; null: it cannot be read. */
  program(execution: Pick<Execution, 'job'>): Promise<string | null>
}

/**
 * What runs jobs. Every adapter passes the suite in test/support/engine-contract.ts. Calls for one execution never overlap.
 * @throws MeshError MESH_JOB_ENGINE_AWAY (nothing reached the engine), MESH_JOB_ENGINE_UNSURE (the outcome is unknown: ask `status`
 * again). Any other throw is a defect.
 */
export interface JobEngine {
  /** Resolves once the engine has it. For an id that it has already (HTTP 409) it does nothing. */
  submit(execution: Execution): Promise<void>
  status(execution: Execution): Promise<ExecutionStatus>
  /** Ends a running execution; resolves when it has ended, or when it was not there. */
  cancel(execution: Execution): Promise<void>
  /** Absent: it has only runs that end. */
  readonly streaming?: StreamControl
  /** Its output so far; null when there is none. */
  logs(execution: Execution): Promise<string | null>
  /** Pause between two looks at a running execution, ms. */
  readonly pollMs: number
  /** The process ends: what this process runs itself is ended, and will be unknown after. */
  close(): Promise<void>
}

export type Engines = Readonly<Partial<Record<EngineName, JobEngine>>>

/** `mesh.runs` as its only writer sees it. */
export interface RunStore {
  load(): Promise<{ readonly runs: readonly Run[]; readonly positions: readonly StreamPositions[] }>
  /** Durable on return. @throws MeshError MESH_JOB_SECOND_WRITER when somebody else wrote since `load`. */
  putRun(run: Run): Promise<void>
  putPositions(positions: StreamPositions): Promise<void>
  /** Forgets a run that has ended long ago. */
  dropRun(id: string): Promise<void>
}
