import { type FastifyInstance, fastify } from 'fastify'
import { isMeshError } from '../core/errors.ts'
import { errorFields, type Logger } from './logger.ts'
import type { Service } from './service.ts'
import type { Telemetry } from './telemetry.ts'

export type Readiness = { readonly ready: boolean; readonly detail: Readonly<Record<string, unknown>> }

export type HttpServerOptions = {
  readonly host: string
  readonly port: number
  readonly telemetry: Telemetry
  /** Told of every answer 500: the caller learns no cause. */
  readonly logger: Logger
  /** Starts unready and proves itself: false until the service can do its work. */
  readonly readiness: () => Readiness
  /** The service's own routes. */
  readonly routes?: (app: FastifyInstance) => void
  readonly bodyLimitBytes?: number
}

/** `/healthz` (the process lives), `/readyz` (it can work), `/metrics` (Prometheus), and the service's own routes. */
export function createHttpServer(
  options: HttpServerOptions,
): Service & { readonly app: FastifyInstance; address(): string } {
  const app = fastify({ logger: false, bodyLimit: options.bodyLimitBytes ?? 1_048_576, forceCloseConnections: 'idle' })
  registerHealth(app, options)
  app.setErrorHandler((error, request, reply) => {
    if (isMeshError(error)) {
      return reply
        .code(error.status)
        .send({ code: error.code, message: error.message, hint: error.hint, place: error.place })
    }
    const status = (error as { statusCode?: number }).statusCode ?? 500
    if (status >= 500)
      options.logger.error({ ...errorFields(error), route: request.routeOptions.url ?? '' }, 'a request failed')
    return reply
      .code(status)
      .send({ code: 'MESH_INTERNAL', message: status < 500 ? (error as Error).message : 'internal error' })
  })
  options.routes?.(app)
  let address = ''
  return {
    app,
    address: () => address,
    async start() {
      address = await app.listen({ host: options.host, port: options.port })
    },
    stop: () => app.close(),
  }
}

export function registerHealth(
  app: FastifyInstance,
  options: Pick<HttpServerOptions, 'telemetry' | 'readiness'>,
): void {
  app.get('/healthz', () => ({ status: 'ok' }))
  app.get('/readyz', (_request, reply) => {
    const { ready, detail } = options.readiness()
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'starting', ...detail })
  })
  app.get('/metrics', async (_request, reply) => {
    const text = await options.telemetry.prometheus()
    return reply.header('content-type', 'text/plain; version=0.0.4; charset=utf-8').send(text)
  })
}
