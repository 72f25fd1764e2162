import { ERRORS, type ErrorCode, MeshError } from '@mesh/shared/core/errors'

/**
 * One JSON call to a service of the mesh. An error answer `{code, message, place}` becomes the MeshError it was.
 * @throws MeshError MESH_INTERNAL when the service is away, naming its address.
 */
export async function callJson<T>(
  url: string,
  init: { method?: string; body?: unknown; timeoutMs?: number; apiKey?: string | null } = {},
): Promise<T> {
  let response: Response
  try {
    response = await fetch(url, {
      method: init.method ?? 'GET',
      headers: {
        ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(init.apiKey ? { authorization: `Bearer ${init.apiKey}` } : {}),
      },
      ...(init.body === undefined ? {} : { body: JSON.stringify(init.body) }),
      signal: AbortSignal.timeout(init.timeoutMs ?? 60_000),
    })
  } catch (error) {
    throw new MeshError('MESH_SERVICE_UNREACHABLE', `no answer from ${new URL(url).origin}`, { cause: error })
  }
  const text = await response.text()
  const answer = parse(text)
  if (response.ok) return answer as T
  const failure = answer as { code?: string; message?: string; place?: string } | null
  const code = failure?.code && failure.code in ERRORS ? (failure.code as ErrorCode) : 'MESH_INTERNAL'
  throw new MeshError(
    code,
    failure?.message ?? `HTTP ${response.status} from ${url}`,
    failure?.place ? { place: failure.place } : {},
  )
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
