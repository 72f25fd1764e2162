import type { IncomingMessage } from 'node:http'
import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Answer, answerError } from '../core/answer.ts'
import { describeGateway } from '../core/openapi.ts'
import type { RequestHeaders, StreamDirectory } from '../core/ports.ts'
import type { IngestGateway, IngestRequest } from '../service.ts'
import { readBody } from './read-body.ts'

export type HttpRoutesOptions = {
  readonly gateway: IngestGateway
  readonly directory: StreamDirectory
  /** More routes, with bodies parsed as JSON. */
  readonly more?: (app: FastifyInstance) => void
  readonly config: {
    readonly maxBodyBytes: number
    readonly maxEventBytes: number
    readonly maxEventsPerRequest: number
    readonly requestTimeoutMs: number
    readonly retryAfterMs: number
  }
}

type StreamRoute = { Params: { stream: string } }

/** The gateway's routes. Bodies reach the gateway as bytes: nothing of Fastify parses them. */
export function gatewayRoutes(options: HttpRoutesOptions): (app: FastifyInstance) => void {
  const { config, gateway } = options

  function requestOf(request: FastifyRequest<StreamRoute>): IngestRequest {
    const { raw } = request
    return {
      stream: request.params.stream,
      headers: headersOf(raw),
      readBody: (body) => readBody(raw, { ...body, timeoutMs: config.requestTimeoutMs }),
    }
  }

  function send(request: FastifyRequest, reply: FastifyReply, answer: Answer): FastifyReply {
    if (mustClose(request.raw, config.maxBodyBytes)) void reply.header('connection', 'close')
    return reply.code(answer.status).headers(answer.headers).send(answer.body)
  }

  return function register(app) {
    // Also bounds what a sender may go on sending after it was refused.
    app.server.requestTimeout = config.requestTimeoutMs
    app.server.headersTimeout = Math.min(config.requestTimeoutMs, 15_000)
    app.setNotFoundHandler((request, reply) => {
      const error = new MeshError(
        'MESH_ROUTE_UNKNOWN',
        `there is no route ${request.method} ${request.url.slice(0, 200)}`,
      )
      return send(request, reply, answerError(error, config.retryAfterMs))
    })
    void app.register((scope, _options, done) => {
      scope.removeAllContentTypeParsers()
      scope.addContentTypeParser('*', (_request, _payload, parsed) => parsed(null))
      // What Fastify itself refuses (a Content-Type that is none) gets an answer of the same form.
      scope.setErrorHandler((error, request, reply) => {
        const told = isMeshError(error) ? error : fastifyError(error)
        return send(request, reply, answerError(told, config.retryAfterMs))
      })
      scope.post<StreamRoute>('/v1/streams/:stream/events', async (request, reply) =>
        send(request, reply, await gateway.postEvents(requestOf(request))),
      )
      scope.post<StreamRoute>('/webhooks/:stream', async (request, reply) =>
        send(request, reply, await gateway.takeWebhook(requestOf(request))),
      )
      done()
    })
    options.more?.(app)
    app.get('/openapi.json', () => describeGateway(options.directory.streams(), config))
  }
}

function fastifyError(error: unknown): MeshError {
  const { statusCode, message } = error as { statusCode?: number; message?: string }
  return statusCode === 415
    ? new MeshError('MESH_BODY_MEDIA_TYPE', 'the Content-Type is not readable')
    : new MeshError('MESH_INTERNAL', statusCode !== undefined && statusCode < 500 ? String(message) : 'internal error')
}

/**
 * Whether the connection ends with the answer. The rest of a refused body is read and thrown away while it is short, so that the
 * sender sees the answer and may go on; a long one is cut off.
 */
function mustClose(raw: IncomingMessage, maxBytes: number): boolean {
  return !raw.readableEnded && Number(raw.headers['content-length'] ?? 0) > 2 * maxBytes
}

function headersOf(raw: IncomingMessage): RequestHeaders {
  const headers: Record<string, string | undefined> = {}
  for (const [name, value] of Object.entries(raw.headers))
    headers[name] = Array.isArray(value) ? value.join(', ') : value
  return headers
}
