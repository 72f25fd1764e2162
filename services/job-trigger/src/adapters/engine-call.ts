import { readFileSync } from 'node:fs'
import { MeshError } from '@mesh/shared/core/errors'
import { type HttpCall, type HttpReply, httpCall } from './http-call.ts'

const AWAY = new Set([429, 502, 503, 504])
const NOT_REACHED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL'])

/**
 * A call to an engine over HTTP. Every status but those that say "not now" is the caller's to judge.
 * @throws MeshError MESH_JOB_ENGINE_AWAY, MESH_JOB_ENGINE_UNSURE
 */
export async function engineCall(url: string, call: HttpCall): Promise<HttpReply> {
  let reply: HttpReply
  try {
    reply = await httpCall(url, call)
  } catch (error) {
    const code = (error as { code?: string }).code ?? ''
    if (NOT_REACHED.has(code))
      throw new MeshError('MESH_JOB_ENGINE_AWAY', `${new URL(url).origin} cannot be reached (${code})`)
    throw new MeshError('MESH_JOB_ENGINE_UNSURE', `no answer from ${new URL(url).origin}`, { cause: error })
  }
  const { status } = reply
  if (!AWAY.has(status)) return reply
  // A gateway in between may have passed the request on before it gave up.
  const code = status === 429 || status === 503 ? 'MESH_JOB_ENGINE_AWAY' : 'MESH_JOB_ENGINE_UNSURE'
  throw new MeshError(code, `${new URL(url).origin} answers ${status}`)
}

const JSON_TIMEOUT_MS = 30_000

/** A call that sends and expects JSON. @throws MeshError as `engineCall` */
export function engineJson(
  method: HttpCall['method'],
  url: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<HttpReply> {
  const call = { method, timeoutMs: JSON_TIMEOUT_MS }
  const all = { accept: 'application/json', ...headers }
  if (body === undefined) return engineCall(url, { ...call, headers: all })
  const typed = { ...all, 'content-type': 'application/json' }
  return engineCall(url, { ...call, headers: typed, body: JSON.stringify(body) })
}

/** The value behind `env:NAME` or `file:/path`. @throws MeshError MESH_JOB_ENGINE_AWAY when there is none */
export function secretValue(reference: string, env: Readonly<Record<string, string | undefined>>): string {
  const at = reference.indexOf(':')
  const [kind, name] = [reference.slice(0, at), reference.slice(at + 1)]
  const value = kind === 'env' ? env[name] : readFileSync(name, 'utf8').trim()
  if (!value) throw new MeshError('MESH_JOB_ENGINE_AWAY', `${reference} is not set`)
  return value
}
