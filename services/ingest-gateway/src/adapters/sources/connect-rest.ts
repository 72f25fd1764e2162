import { MeshError } from '@mesh/shared/core/errors'
import type { ConnectorStatus } from '../../core/sources/connector-actions.ts'
import type { ConnectorConfig } from '../../core/sources/connector-config.ts'

/** Kafka Connect's REST API, as the reconciler needs it. Every call throws MESH_CONNECT_UNAVAILABLE when Connect is away. */
export type ConnectRest = {
  names(): Promise<string[]>
  /** Null when there is no such connector. */
  status(name: string): Promise<ConnectorStatus | null>
  /** Creates or changes. @throws MeshError MESH_SOURCE_CONFIG when Connect refuses the configuration. */
  put(name: string, config: ConnectorConfig): Promise<void>
  pause(name: string): Promise<void>
  resume(name: string): Promise<void>
  stop(name: string): Promise<void>
  /** The connector and its tasks, or those of them that have failed. */
  restart(name: string, which: 'all' | 'failed'): Promise<void>
  remove(name: string): Promise<void>
  /** How far it has come; null when it has not begun. */
  offset(name: string): Promise<Readonly<Record<string, unknown>> | null>
  /** Forgets how far it has come; the connector must be stopped. */
  resetOffsets(name: string): Promise<void>
}

const TIMEOUT_MS = 10_000

export function createConnectRest(baseUrl: string): ConnectRest {
  async function call<T>(method: string, path: string, body?: unknown): Promise<T | null> {
    let response: Response
    try {
      response = await fetch(`${baseUrl}${path}`, {
        method,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      })
    } catch (error) {
      throw new MeshError('MESH_CONNECT_UNAVAILABLE', `no answer from Kafka Connect at ${baseUrl}`, { cause: error })
    }
    const text = await response.text()
    if (response.status === 404) return null
    if (response.ok) return (text === '' ? {} : JSON.parse(text)) as T
    const told = messageOf(text)
    // 409: a rebalance is under way; 5xx: it is starting or in trouble.
    if (response.status === 400 || response.status === 422) throw new MeshError('MESH_SOURCE_CONFIG', told)
    throw new MeshError('MESH_CONNECT_UNAVAILABLE', `Kafka Connect answers ${response.status}: ${told}`)
  }

  const at = (name: string, rest = ''): string => `/connectors/${encodeURIComponent(name)}${rest}`

  return {
    names: async () => (await call<string[]>('GET', '/connectors')) ?? [],
    async status(name) {
      const [config, status] = await Promise.all([
        call<ConnectorConfig>('GET', at(name, '/config')),
        call<StatusAnswer>('GET', at(name, '/status')),
      ])
      if (config === null) return null
      return {
        config,
        state: status?.connector.state ?? 'UNASSIGNED',
        tasks: (status?.tasks ?? []).map(({ id, state, trace }) => ({ id, state, trace: trace ?? null })),
      }
    },
    async put(name, config) {
      await call('PUT', at(name, '/config'), config)
    },
    async pause(name) {
      await call('PUT', at(name, '/pause'))
    },
    async resume(name) {
      await call('PUT', at(name, '/resume'))
    },
    async stop(name) {
      await call('PUT', at(name, '/stop'))
    },
    async restart(name, which) {
      await call('POST', at(name, `/restart?includeTasks=true&onlyFailed=${which === 'failed'}`))
    },
    async remove(name) {
      await call('DELETE', at(name))
    },
    async offset(name) {
      const answer = await call<{ offsets: { offset: Record<string, unknown> }[] }>('GET', at(name, '/offsets'))
      return answer?.offsets[0]?.offset ?? null
    },
    async resetOffsets(name) {
      await call('DELETE', at(name, '/offsets'))
    },
  }
}

type StatusAnswer = {
  readonly connector: { readonly state: string }
  readonly tasks: readonly { readonly id: number; readonly state: string; readonly trace?: string }[]
}

function messageOf(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: string }
    return (message ?? text).slice(0, 1000)
  } catch {
    return text.slice(0, 300)
  }
}
