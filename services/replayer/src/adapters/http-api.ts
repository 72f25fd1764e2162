import { MeshError } from '@mesh/shared/core/errors'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { FastifyInstance } from 'fastify'
import type { Binder } from '../core/bind.ts'
import type { VersionsStore } from '../core/ports.ts'
import { readBindRequest, readReplayRequest } from '../core/read-request.ts'
import type { Replays } from '../core/replays.ts'

type OfStream = { Params: { stream: string } }
type OfJob = { Params: { id: string } }

export function replayerRoutes(options: {
  readonly versions: VersionsStore
  readonly binder: Binder
  readonly replays: Replays
}): (app: FastifyInstance) => void {
  const { versions, binder, replays } = options
  return function register(app) {
    app.get('/v1/streams', () => ({ streams: versions.all() }))
    app.get<OfStream>('/v1/streams/:stream', ({ params }) => knownStream(versions, params.stream))
    app.post<OfStream>('/v1/streams/:stream/bundle', ({ params, body }) =>
      binder.bind(params.stream, readBindRequest(body).bundle),
    )
    app.post<OfStream>('/v1/streams/:stream/plan', ({ params, body }) =>
      binder.plan(params.stream, readBindRequest(body).bundle),
    )
    app.get('/v1/replays', () => ({ replays: replays.list() }))
    app.get<OfJob>('/v1/replays/:id', ({ params }) => replays.get(params.id))
    app.post('/v1/replays', async ({ body }, reply) => {
      const job = await replays.start(readReplayRequest(body))
      return reply.code(202).header('location', `/v1/replays/${job.id}`).send(job)
    })
    app.post<OfJob>('/v1/replays/:id/cutover', ({ params }) => replays.cutOver(params.id))
    app.post<OfJob>('/v1/replays/:id/cancel', ({ params }) => replays.cancel(params.id))
  }
}

function knownStream(versions: VersionsStore, stream: string): StreamVersions {
  const state = versions.get(stream)
  if (!state) throw new MeshError('MESH_STREAM_UNKNOWN', `stream ${stream} is not applied`)
  return state
}
