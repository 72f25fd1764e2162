import type { ResumeRequest, RunRequest } from '@mesh/shared/core/runs'
import type { FastifyInstance } from 'fastify'
import type { JobTrigger } from '../service.ts'

type OfJob = { Params: { name: string }; Body: RunRequest | null }
type OfRun = { Params: { id: string } }

export function jobRoutes(trigger: JobTrigger): (app: FastifyInstance) => void {
  return function register(app) {
    app.get('/v1/jobs', () => trigger.list())
    app.post<OfJob>('/v1/jobs/:name/run', async ({ params, body }, reply) =>
      reply.code(202).send(await trigger.request(params.name, body?.full === true)),
    )
    app.post<{ Params: { name: string } }>('/v1/jobs/:name/stop', async ({ params }, reply) =>
      reply.code(202).send(await trigger.stopStream(params.name)),
    )
    app.post<{ Params: { name: string }; Body: ResumeRequest | null }>(
      '/v1/jobs/:name/resume',
      async ({ params, body }, reply) =>
        reply.code(202).send(await trigger.resumeStream(params.name, body?.from ?? null)),
    )
    app.get<{ Querystring: { job?: string } }>('/v1/runs', ({ query }) => trigger.runs(query.job ?? null))
    app.get<OfRun>('/v1/runs/:id', ({ params }) => trigger.run(params.id))
    app.post<OfRun>('/v1/runs/:id/retry', async ({ params }, reply) =>
      reply.code(202).send(await trigger.retry(params.id)),
    )
    app.get<OfRun>('/v1/runs/:id/logs', async ({ params }, reply) =>
      reply.header('content-type', 'text/plain; charset=utf-8').send(await trigger.logs(params.id)),
    )
  }
}
