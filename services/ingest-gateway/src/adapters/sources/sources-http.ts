import { MeshError } from '@mesh/shared/core/errors'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type ApiKey, authenticate } from '../../core/api-keys.ts'
import type { AuditReport } from '../../core/sources/source-types.ts'
import type { SourceOperations } from '../../source-operations.ts'
import type { SourceView } from '../../source-service.ts'

export type SourceRoutesOptions = {
  readonly view: () => SourceView
  readonly operations: SourceOperations
  readonly audit: (stream: string, repair: boolean) => Promise<AuditReport>
  readonly apiKeys: readonly ApiKey[]
}

type SourceRoute = { Params: { source: string }; Body: { table?: string; confirm?: string } | null }

type AuditRoute = { Params: { stream: string }; Body: { repair?: boolean } | null }

/** Looking is free; whoever changes something needs an API key. */
export function sourceRoutes({
  view,
  operations,
  audit,
  apiKeys,
}: SourceRoutesOptions): (app: FastifyInstance) => void {
  function admit({ headers }: FastifyRequest): void {
    const apiKey = headers['x-api-key']
    authenticate(apiKeys, {
      authorization: headers.authorization,
      apiKey: Array.isArray(apiKey) ? apiKey[0] : apiKey,
    })
  }

  /** What cannot be undone names the source a second time. */
  function confirmed(request: FastifyRequest<SourceRoute>): string {
    const { source } = request.params
    if (request.body?.confirm === source) return source
    throw new MeshError('MESH_CLI_USAGE', `this cannot be undone: send {"confirm": "${source}"}, or --yes`)
  }

  return function register(app) {
    app.get('/v1/sources', () => view())
    app.post<SourceRoute>('/v1/sources/:source/pause', async (request) => {
      admit(request)
      await operations.pause(request.params.source)
      return { source: request.params.source, intent: 'paused' }
    })
    app.post<SourceRoute>('/v1/sources/:source/resume', async (request) => {
      admit(request)
      await operations.resume(request.params.source)
      return { source: request.params.source, intent: 'running' }
    })
    app.post<SourceRoute>('/v1/sources/:source/restart', async (request) => {
      admit(request)
      await operations.restart(request.params.source)
      return { source: request.params.source, intent: 'running' }
    })
    app.post<SourceRoute>('/v1/sources/:source/snapshot', async (request) => {
      admit(request)
      return operations.snapshot(request.params.source, request.body?.table ?? null)
    })
    app.post<SourceRoute>('/v1/sources/:source/resnapshot', async (request) => {
      admit(request)
      await operations.resnapshot(confirmed(request))
      return { source: request.params.source, intent: 'running' }
    })
    app.post<SourceRoute>('/v1/sources/:source/forget', async (request) => {
      admit(request)
      return operations.forget(confirmed(request))
    })
    app.post<AuditRoute>('/v1/streams/:stream/audit', async (request) => {
      admit(request)
      return audit(request.params.stream, request.body?.repair === true)
    })
    app.delete<SourceRoute>('/v1/sources/:source', async (request) => {
      admit(request)
      const { positions } = await operations.remove(confirmed(request))
      return { source: request.params.source, intent: 'deleted', positions }
    })
  }
}
