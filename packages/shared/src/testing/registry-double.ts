import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseAvsc } from '../schema/avro-schema.ts'
import { incompatibilities } from '../schema/compatibility.ts'

/**
 * An in-process schema registry: Confluent's API as Apicurio 3.3.3 serves it, with its deviations (global level NONE; the level
 * of a subject without one reads as NONE, not 404). The contract suite runs on both.
 */
export type RegistryDouble = {
  readonly url: string
  /** While true every request gets 503. */
  setDown(down: boolean): void
  /** The next requests, so many, get no answer at all. */
  ignoreNext(count: number): void
  /** Requests so far, `METHOD /path`. */
  readonly requests: readonly string[]
  stop(): Promise<void>
}

type Answer = { readonly status: number; readonly body: unknown }
type Subject = { readonly name: string; readonly versions: { readonly id: number; readonly schema: string }[] }

export async function startRegistryDouble(): Promise<RegistryDouble> {
  const registry = createRegistry()
  const requests: string[] = []
  let down = false
  let ignored = 0
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`)
    if (ignored > 0) {
      ignored--
      return
    }
    void respond(request, response, (method, path, body) =>
      down ? problem(503, 50301, 'down') : registry(method, path, body),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    setDown: (value) => {
      down = value
    },
    ignoreNext: (count) => {
      ignored = count
    },
    requests,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

type Handle = (method: string, path: readonly string[], body: Record<string, string>) => Answer

function createRegistry(): Handle {
  const ids = new Map<string, number>()
  const subjects = new Map<string, Subject>()
  const levels = new Map<string, string>()

  function register(name: string, schema: string): Answer {
    if (!isAvro(schema)) return problem(422, 42201, 'invalid Avro schema')
    const subject = subjects.get(name) ?? { name, versions: [] }
    const same = subject.versions.find((version) => version.schema === schema)
    if (same) return { status: 200, body: { id: same.id } }
    if (!accepts(subject, schema)) return problem(409, 409, 'incompatible schema')
    const id = ids.get(schema) ?? ids.size + 1
    ids.set(schema, id)
    subject.versions.push({ id, schema })
    subjects.set(name, subject)
    return { status: 200, body: { id } }
  }

  function accepts(subject: Subject, schema: string): boolean {
    const level = levels.get(subject.name) ?? levels.get('') ?? 'NONE'
    if (level === 'NONE') return true
    const written = level === 'BACKWARD_TRANSITIVE' ? subject.versions : subject.versions.slice(-1)
    return written.every((version) => incompatibilities(schema, version.schema).length === 0)
  }

  function readVersion(name: string, version: string): Answer {
    const subject = subjects.get(name)
    if (!subject) return problem(404, 40401, 'subject not found')
    const index = version === 'latest' ? subject.versions.length : Number(version)
    const found = subject.versions[index - 1]
    return found
      ? { status: 200, body: { subject: name, version: index, ...found } }
      : problem(404, 40402, 'version not found')
  }

  function readSchema(id: number): Answer {
    for (const [schema, known] of ids) if (known === id) return { status: 200, body: { schema } }
    return problem(404, 40403, 'schema not found')
  }

  return function handle(method, path, body) {
    const [area, name = '', , version] = path
    const route = `${method} ${area}${path.length > 2 ? `/${path.length}` : ''}`
    switch (route) {
      case 'GET schemas/3':
        return readSchema(Number(path[2]))
      case 'GET subjects':
        return { status: 200, body: [...subjects.keys()] }
      case 'POST subjects/3':
        return register(name, body['schema'] ?? '')
      case 'GET subjects/4':
        return readVersion(name, version ?? '')
      case 'GET config':
        return { status: 200, body: { compatibilityLevel: levels.get(name) ?? 'NONE' } }
      case 'PUT config':
        levels.set(name, body['compatibility'] ?? 'NONE')
        return { status: 200, body }
      case 'POST compatibility/5': {
        const subject = subjects.get(path[2] ?? '')
        if (!subject) return problem(404, 40401, 'subject not found')
        return { status: 200, body: { is_compatible: accepts(subject, body['schema'] ?? '') } }
      }
      default:
        return problem(404, 404, `no route ${route}`)
    }
  }
}

async function respond(request: IncomingMessage, response: ServerResponse, handle: Handle): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString('utf8')
  const body = text === '' ? {} : (JSON.parse(text) as Record<string, string>)
  const path = new URL(request.url ?? '/', 'http://registry').pathname
    .split('/')
    .filter(Boolean)
    .map(decodeURIComponent)
  const answer = handle(request.method ?? 'GET', path, body)
  response.writeHead(answer.status, { 'content-type': 'application/vnd.schemaregistry.v1+json' })
  response.end(JSON.stringify(answer.body))
}

const problem = (status: number, code: number, message: string): Answer => ({
  status,
  body: { error_code: code, message },
})

function isAvro(schema: string): boolean {
  try {
    parseAvsc(schema)
    return true
  } catch {
    return false
  }
}
