import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buildSchema, graphql } from 'graphql'

/** A GeoJSON feature in the shape of the USGS feeds; only what the server orders by is named. */
export type Earthquake = {
  readonly id: string
  readonly properties: Readonly<Record<string, unknown>> & { readonly time: number; readonly updated: number }
}

export type EarthquakeServer = { readonly url: string; readonly port: number; stop(): Promise<void> }

const SCHEMA = buildSchema(`
  type Query { earthquakes(updatedSince: Float, first: Int!, after: String): Connection! }
  type Connection { edges: [Edge!]! pageInfo: PageInfo! }
  type Edge { cursor: String! node: Quake! }
  type PageInfo { endCursor: String hasNextPage: Boolean! }
  type Quake { id: ID! properties: Properties! geometry: Geometry }
  type Geometry { coordinates: [Float]! }
  type Properties {
    mag: Float magType: String place: String time: Float! updated: Float! status: String! tsunami: Int! sig: Int type: String!
  }
`)

/**
 * Serves earthquakes as the USGS's query service does (`/fdsnws/event/1/query` with `updatedafter`, `limit` and `offset` from 1) and by
 * GraphQL (`/graphql`, a connection). On a free port of this machine.
 */
export async function serveEarthquakes(quakes: readonly Earthquake[], port = 0): Promise<EarthquakeServer> {
  const ordered = quakes.toSorted((a, b) => a.properties.time - b.properties.time || (a.id < b.id ? -1 : 1))
  const since = (ms: number): readonly Earthquake[] => ordered.filter(({ properties }) => properties.updated >= ms)

  const rootValue = {
    earthquakes({ updatedSince, first, after }: { updatedSince?: number; first: number; after?: string }) {
      const from = after === undefined || after === null ? 0 : Number(Buffer.from(after, 'base64url').toString())
      const matching = since(updatedSince ?? 0)
      const edges = matching
        .slice(from, from + first)
        .map((node, i) => ({ node, cursor: Buffer.from(String(from + i + 1)).toString('base64url') }))
      return {
        edges,
        pageInfo: { endCursor: edges.at(-1)?.cursor ?? null, hasNextPage: from + edges.length < matching.length },
      }
    },
  }

  function query(url: URL, response: ServerResponse): void {
    const { searchParams } = url
    const after = searchParams.get('updatedafter')
    const matching = since(after === null ? 0 : Date.parse(after))
    const from = Number(searchParams.get('offset') ?? 1) - 1
    const features = matching.slice(from, from + Number(searchParams.get('limit') ?? 20_000))
    const metadata = { title: 'USGS Earthquakes', status: 200, count: features.length }
    send(response, 200, { type: 'FeatureCollection', metadata, features })
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost')
    if (url.pathname === '/fdsnws/event/1/query') return query(url, response)
    if (url.pathname !== '/graphql' || request.method !== 'POST') return send(response, 404, { error: 'not found' })
    const { query: source, variables } = JSON.parse(await textOf(request)) as {
      query: string
      variables: Record<string, unknown>
    }
    send(response, 200, await graphql({ schema: SCHEMA, source, rootValue, variableValues: variables }))
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => send(response, 400, { error: 'the request is not readable' }))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const own = (server.address() as AddressInfo).port
  return {
    url: `http://127.0.0.1:${own}`,
    port: own,
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}
