import { createHash } from 'node:crypto'
import { MeshError } from '@mesh/shared/core/errors'
import { engineJson } from './engine-call.ts'
import { reasonOf, rootCause } from './flink-gateway.ts'
import type { HttpCall, HttpReply } from './http-call.ts'

export type FlinkJob = { readonly state: string; readonly duration: number }

/** The JobManager's REST API, by execution id: jobs have ids that are hashes of those. */
export type FlinkJobs = {
  /** Null: the JobManager does not know it. */
  find(executionId: string): Promise<FlinkJob | null>
  /** Resolves when it has ended, or was not there. */
  cancel(executionId: string): Promise<void>
  /** Stack traces, the newest first. */
  exceptions(executionId: string): Promise<readonly string[]>
  /** Newest checkpoint or savepoint, as a path; `savepoint` where that is a savepoint. */
  restorePoint(executionId: string): Promise<{ readonly path: string; readonly savepoint: boolean } | null>
  /** One savepoint for one `at`. Null while it is taken and once it is there, else why it failed. */
  stop(executionId: string, at: string): Promise<string | null>
  /** @throws MeshError MESH_JOB_ENGINE_AWAY: a job without one would wait for slots and fail after minutes */
  requireTaskManager(): Promise<void>
  page(executionId: string): string
}

const CANCEL_WITHIN_MS = 30_000
const LOOK_MS = 100

/** 32 hex digits, as Flink's ids are. */
export const flinkJobId = (executionId: string): string => hex(executionId)

/** @param url null: there is none, and every call says so */
export function createFlinkJobs(url: string | null): FlinkJobs {
  const base = url?.replace(/\/$/, '') ?? ''
  const pathOf = (executionId: string): string => `/jobs/${flinkJobId(executionId)}`

  function ask(method: HttpCall['method'], path: string, body?: unknown): Promise<HttpReply> {
    if (url === null) throw new MeshError('MESH_JOB_ENGINE_AWAY', 'MESH_FLINK_URL is not set')
    return engineJson(method, `${base}${path}`, body)
  }

  async function find(executionId: string): Promise<FlinkJob | null> {
    const reply = await ask('GET', pathOf(executionId))
    if (reply.status === 404) return null
    return read<FlinkJob>(reply)
  }

  return {
    find,
    async cancel(executionId) {
      const found = await find(executionId)
      if (found === null || hasEnded(found)) return
      const reply = await ask('PATCH', `${pathOf(executionId)}?mode=cancel`)
      // 409: it has ended by itself.
      if (!reply.ok && reply.status !== 404 && reply.status !== 409) throw unexpected(reply)
      const deadline = Date.now() + CANCEL_WITHIN_MS
      for (;;) {
        const job = await find(executionId)
        if (job === null || hasEnded(job)) return
        if (Date.now() > deadline) {
          throw new MeshError('MESH_JOB_ENGINE_UNSURE', 'the Flink job is still being cancelled')
        }
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
      }
    },
    async exceptions(executionId) {
      const reply = await ask('GET', `${pathOf(executionId)}/exceptions?maxExceptions=10`)
      if (!reply.ok) return []
      type Exceptions = { readonly exceptionHistory?: { readonly entries: readonly { readonly stacktrace: string }[] } }
      return (JSON.parse(reply.text) as Exceptions).exceptionHistory?.entries.map(({ stacktrace }) => stacktrace) ?? []
    },
    async restorePoint(executionId) {
      const reply = await ask('GET', `${pathOf(executionId)}/checkpoints`)
      if (reply.status === 404) return null
      type Point = { readonly id: number; readonly external_path?: string | null } | null
      const { latest } = read<{ latest: { completed?: Point; savepoint?: Point } | null }>(reply)
      const [checkpoint, savepoint] = [latest?.completed ?? null, latest?.savepoint ?? null]
      const isSavepoint = (savepoint?.id ?? -1) > (checkpoint?.id ?? -1)
      const path = (isSavepoint ? savepoint : checkpoint)?.external_path ?? null
      return path === null ? null : { path, savepoint: isSavepoint }
    },
    async stop(executionId, at) {
      // An id of ours: asked again, also by another job-trigger, it is the same savepoint.
      const triggerId = hex(`${executionId}/${at}`)
      const known = await ask('GET', `${pathOf(executionId)}/savepoints/${triggerId}`)
      if (known.ok) {
        const { operation } = read<{ operation?: { 'failure-cause'?: { 'stack-trace'?: string; class?: string } } }>(
          known,
        )
        const cause = operation?.['failure-cause']
        return cause ? rootCause(cause['stack-trace'] ?? cause.class ?? 'no cause given') : null
      }
      if (known.status !== 404) throw unexpected(known)
      const reply = await ask('POST', `${pathOf(executionId)}/stop`, { triggerId, drain: false })
      // 404, 409: it has ended meanwhile, and its state tells how.
      if (reply.ok || reply.status === 404 || reply.status === 409) return null
      if (reply.status === 400) return reasonOf(reply.text)
      throw unexpected(reply)
    },
    async requireTaskManager() {
      if (read<{ taskmanagers: number }>(await ask('GET', '/overview')).taskmanagers === 0) {
        throw new MeshError('MESH_JOB_ENGINE_AWAY', 'the Flink cluster has no task manager')
      }
    },
    page: (executionId) => `${base}/#/job/completed/${flinkJobId(executionId)}`,
  }
}

export const hasEnded = ({ state }: FlinkJob): boolean => ['FINISHED', 'FAILED', 'CANCELED'].includes(state)

function read<T>(reply: HttpReply): T {
  if (!reply.ok) throw unexpected(reply)
  return JSON.parse(reply.text) as T
}

const unexpected = (reply: HttpReply): MeshError =>
  new MeshError('MESH_JOB_ENGINE_UNSURE', `Flink answers ${reply.status}: ${reasonOf(reply.text)}`)

const hex = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)
