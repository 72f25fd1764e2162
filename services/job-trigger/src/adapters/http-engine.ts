import { parseDuration } from '@mesh/shared/core/duration'
import type { RunOutput, RunResult } from '@mesh/shared/core/runs'
import type { Execution, ExecutionStatus, JobEngine } from '../core/ports.ts'
import { engineCall, secretValue } from './engine-call.ts'
import type { HttpCall, HttpReply } from './http-call.ts'

type HttpOptions = {
  readonly url: string
  /** Where an execution is asked for; `{id}` stands for its id. */
  readonly status?: string
  readonly authorization?: string
  readonly requestTimeout?: string
}

type Answer = {
  readonly state?: 'running' | 'succeeded' | 'failed'
  readonly message?: string
  readonly outputs?: readonly RunOutput[]
  readonly artefacts?: Readonly<Record<string, string>>
}

/**
 * POSTs the run's input with `Idempotency-Key: <execution id>`. 200, 201, 204: done. 202: it is under way, and is asked for at
 * `Location` or at the job's `status` address. 409: the receiver has this key already. 429, 502, 503, 504: not now; anything else
 * failed. An answer that never came is asked for again under the same key, which is the receiver's to recognise.
 */
export function createHttpEngine(env: Readonly<Record<string, string | undefined>>): JobEngine {
  const outcomes = new Map<string, ExecutionStatus>()
  const locations = new Map<string, string>()

  async function submit(execution: Execution): Promise<void> {
    // An outcome, or the word that it is under way, is this process's to know: nothing is posted twice that was answered once.
    if (outcomes.has(execution.id)) return
    const options = optionsOf(execution)
    const response = await request(execution, options.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': execution.id },
      body: JSON.stringify(execution.input),
    })
    const { id } = execution
    if (response.status === 202) {
      const location = response.location
      if (location !== null) locations.set(id, new URL(location, options.url).href)
      outcomes.set(id, { state: 'running' })
      return
    }
    if (response.status === 409) {
      // Known there; what became of it, its status address tells. Without one, 409 is all there is to know.
      outcomes.set(id, addressOf(execution) ? { state: 'running' } : { state: 'succeeded', result: resultOf(null) })
      return
    }
    outcomes.set(id, response.ok ? succeeded(response.text) : failedWith(response.status, response.text))
  }

  async function status(execution: Execution): Promise<ExecutionStatus> {
    const known = outcomes.get(execution.id)
    if (known && known.state !== 'running') return known
    const address = addressOf(execution)
    // Nothing to ask: the same key is posted again, and the receiver recognises it.
    if (address === null) return { state: 'unknown' }
    const response = await request(execution, address, { method: 'GET', headers: {} })
    if (response.status === 404) return { state: 'unknown' }
    if (!response.ok) return failedWith(response.status, response.text)
    const answer = parse(response.text)
    if (answer?.state === 'running' || response.status === 202) return { state: 'running' }
    return answer?.state === 'failed'
      ? failed(answer.message ?? 'the receiver says it failed', answer)
      : succeeded(response.text)
  }

  function addressOf(execution: Execution): string | null {
    const template = optionsOf(execution).status
    const location = locations.get(execution.id)
    return location ?? template?.replaceAll('{id}', encodeURIComponent(execution.id)) ?? null
  }

  async function request(
    execution: Execution,
    url: string,
    init: Pick<HttpCall, 'method' | 'headers' | 'body'>,
  ): Promise<HttpReply> {
    const { requestTimeout, authorization } = optionsOf(execution)
    const headers = {
      ...(init.headers as Record<string, string>),
      ...(authorization ? { authorization: secretValue(authorization, env) } : {}),
    }
    const timeoutMs = parseDuration(requestTimeout ?? '1m') ?? 60_000
    return engineCall(url, { ...init, headers, timeoutMs })
  }

  return {
    submit,
    status,
    // The protocol has no way to end what a receiver has begun: its answer is no longer waited for.
    async cancel({ id }) {
      outcomes.delete(id)
      locations.delete(id)
    },
    logs: async () => null,
    pollMs: 250,
    close: async () => {},
  }
}

const optionsOf = ({ job }: Execution): HttpOptions => job.options as HttpOptions

const succeeded = (text: string): ExecutionStatus => ({ state: 'succeeded', result: resultOf(parse(text)) })

function failedWith(status: number, text: string): ExecutionStatus {
  const answer = parse(text)
  return failed(answer?.message ?? `the receiver answers ${status}`, answer)
}

function failed(message: string, answer: Answer | null): ExecutionStatus {
  return {
    state: 'failed',
    error: { code: 'MESH_JOB_FAILED', message: message.slice(0, 2000) },
    result: resultOf(answer),
  }
}

function resultOf(answer: Answer | null): RunResult {
  return { outputs: answer?.outputs ?? [], artefacts: answer?.artefacts ?? {}, message: answer?.message ?? null }
}

function parse(text: string): Answer | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Answer) : null
  } catch {
    return null
  }
}
