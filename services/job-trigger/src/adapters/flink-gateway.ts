import { MeshError } from '@mesh/shared/core/errors'
import { engineJson } from './engine-call.ts'
import type { HttpReply } from './http-call.ts'

/** A statement that the gateway took and could not do, in its own words. */
export class FlinkStatementError extends Error {}

export type FlinkSession = {
  /** Runs one statement to its end. Resolves with the job's id for one that begins a job. @throws FlinkStatementError, MeshError */
  readonly run: (statement: string) => Promise<string | null>
  readonly close: () => Promise<void>
}

const LOOK_MS = 50
/** Compiling a statement takes seconds; a gateway that takes minutes is not answering. */
const STATEMENT_MS = 180_000

/** Speaks SQL Gateway REST v3: a session holds tables and settings of one script. */
export async function openFlinkSession(
  gatewayUrl: string,
  properties: Readonly<Record<string, string>>,
): Promise<FlinkSession> {
  const base = `${gatewayUrl.replace(/\/$/, '')}/v3/sessions`
  const opened = required(await engineJson('POST', base, { properties }))
  const session = `${base}/${(opened as { sessionHandle: string }).sessionHandle}`

  async function run(statement: string): Promise<string | null> {
    const reply = await engineJson('POST', `${session}/statements`, { statement })
    const { operationHandle } = required(reply) as { operationHandle: string }
    const operation = `${session}/operations/${operationHandle}`
    const status = await settled(operation)
    const result = await engineJson('GET', `${operation}/result/0`)
    if (status !== 'FINISHED' || !result.ok) throw new FlinkStatementError(reasonOf(result.text))
    return (JSON.parse(result.text) as { jobID?: string }).jobID ?? null
  }

  return {
    run,
    // What a session leaves behind, the gateway drops when it has been idle.
    close: () => engineJson('DELETE', session).then(ignore, ignore),
  }
}

async function settled(operation: string): Promise<string> {
  const deadline = Date.now() + STATEMENT_MS
  for (;;) {
    const { status } = required(await engineJson('GET', `${operation}/status`)) as { status: string }
    if (!['INITIALIZED', 'PENDING', 'RUNNING'].includes(status)) return status
    if (Date.now() > deadline) {
      throw new MeshError('MESH_JOB_ENGINE_UNSURE', `a statement has not ended in ${STATEMENT_MS / 1000} s`)
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

/** @throws MeshError MESH_JOB_ENGINE_UNSURE: a session that is gone took its operation with it */
function required(reply: HttpReply): unknown {
  if (reply.ok) return JSON.parse(reply.text)
  throw new MeshError('MESH_JOB_ENGINE_UNSURE', `the SQL Gateway answers ${reply.status}: ${reasonOf(reply.text)}`)
}

const MAX_REASON = 600

/** The innermost cause of what Flink's REST servers send as `{"errors": [sentence, stack trace]}`. */
export function reasonOf(text: string): string {
  let errors: readonly string[] = []
  try {
    errors = (JSON.parse(text) as { errors?: readonly string[] }).errors ?? []
  } catch {
    // A proxy in between speaks another language.
  }
  return rootCause(errors.at(-1) ?? text)
}

/** The message of the last "Caused by" of a Java stack trace, on one line. */
export function rootCause(trace: string): string {
  const causes = trace.split(/^\s*Caused by: /m)
  const message = causes.at(-1)!.split(/\n\s*(?:at |\.\.\. \d+ more)/)[0]!
  const words = message.replaceAll(/\s+/g, ' ').trim()
  return words.replace(/^(?:[a-z_$][\w$]*\.)+(?=[A-Z])/, '').slice(0, MAX_REASON)
}

function ignore(): void {}
