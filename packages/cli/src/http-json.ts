import { ERRORS, type ErrorCode } from '@mesh/shared/core/error-codes'
import { MeshError } from '@mesh/shared/core/errors'

/**
 * One JSON call to a service of the mesh. An error answer `{code, message, place}` becomes the MeshError it was.
 * @throws MeshError MESH_SERVICE_UNREACHABLE when the service is away, naming its address.
 */
export async function callJson<T>(
  url: string,
  init: { method?: string; body?: unknown; timeoutMs?: number; apiKey?: string | null } = {},
): Promise<T> {
  const method = init.method ?? 'GET'
  const ask = (): Promise<Response> =>
    fetch(url, {
      method,
      headers: {
        ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(init.apiKey ? { authorization: `Bearer ${init.apiKey}` } : {}),
      },
      ...(init.body === undefined ? {} : { body: JSON.stringify(init.body) }),
      signal: AbortSignal.timeout(init.timeoutMs ?? 60_000),
    })
  const response = await ask()
    .catch((error: unknown) => {
      if (method === 'GET' && wasClosed(error)) return ask()
      throw error
    })
    .catch((error: unknown) => {
      throw new MeshError('MESH_SERVICE_UNREACHABLE', `no answer from ${new URL(url).origin}`, { cause: error })
    })
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

/**
 * The connection ended instead of an answer. A service closes one that was idle for long, at times just when it is used again: what
 * changes nothing is asked once more.
 */
function wasClosed(error: unknown): boolean {
  const { cause } = error as { cause?: { code?: string } }
  return cause?.code === 'UND_ERR_SOCKET' || cause?.code === 'ECONNRESET'
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
