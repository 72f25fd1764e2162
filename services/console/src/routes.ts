import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { EventStream } from './adapters/event-stream.ts'
import type { GoldReader } from './adapters/gold-reader.ts'
import type { Console } from './service.ts'

const PAGE = join(import.meta.dirname, 'page')
const FILES: Readonly<Record<string, { readonly file: string; readonly type: string }>> = {
  '/': { file: 'index.html', type: 'text/html; charset=utf-8' },
  '/page.js': { file: 'page.js', type: 'text/javascript; charset=utf-8' },
  '/dom.js': { file: 'dom.js', type: 'text/javascript; charset=utf-8' },
  '/picture.js': { file: 'picture.js', type: 'text/javascript; charset=utf-8' },
  '/gold': { file: 'gold.html', type: 'text/html; charset=utf-8' },
  '/gold.js': { file: 'gold.js', type: 'text/javascript; charset=utf-8' },
  '/charts.js': { file: 'charts.js', type: 'text/javascript; charset=utf-8' },
  '/gold.css': { file: 'gold.css', type: 'text/css; charset=utf-8' },
  '/page.css': { file: 'page.css', type: 'text/css; charset=utf-8' },
}
/** Everything comes from this server; no script or style in the HTML, no frame around it. */
const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
}

export type RouteParts = { readonly mesh: Console; readonly pages: EventStream; readonly gold: GoldReader }

/**
 * `/` the page, `/events` its snapshots as server-sent events, `/api/snapshot` one of them; `/gold` the page over gold, `/api/gold` what
 * it draws.
 */
export function registerRoutes(app: FastifyInstance, { mesh, pages, gold }: RouteParts): void {
  for (const [path, { file, type }] of Object.entries(FILES)) {
    app.get(path, async (_request, reply) =>
      reply.headers({ ...HEADERS, 'content-type': type }).send(await readFile(join(PAGE, file))),
    )
  }
  app.get('/api/snapshot', async (_request, reply) =>
    reply.header('cache-control', 'no-store').send(await mesh.snapshot()),
  )
  app.get('/api/gold', async (_request, reply) => reply.header('cache-control', 'no-store').send(await gold()))
  app.get('/events', (_request, reply) => {
    if (!pages.add(reply.raw)) return reply.code(503).send({ message: 'too many pages are open' })
    reply.hijack()
    return reply
  })
}
