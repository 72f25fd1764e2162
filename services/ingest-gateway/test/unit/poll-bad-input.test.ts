import type { ServerResponse } from 'node:http'
import { createMemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { until } from '@mesh/shared/testing/until'
import { test } from 'vitest'
import { renderPulled } from '../../../../packages/cli/src/pulled-view.ts'
import { type PagedServer, servePaged, type Thing, thingsUpTo } from '../support/paged-server.ts'
import {
  BY_TIME,
  createTopics,
  eventIds,
  HTTP_SOURCE,
  polledStream,
  pollOf,
  rawRecords,
  startPolling,
} from '../support/polling-gateway.ts'

type Case = {
  readonly what: string
  readonly code: string
  /** A part of what a person reads. */
  readonly says: string
  readonly poll?: Parameters<typeof pollOf>[0]
  /** Answers a request badly; false = this one is answered well. */
  readonly bad: (path: string, response: ServerResponse, api: PagedServer) => boolean
}

const COUNT = 12
/** Failures come after pauses of 0.5, 1, 2, 4 s at least: in this time three at most. */
const WATCHED_MS = 3000
const MOST_TRIES = 3

const json = (response: ServerResponse, body: unknown): true => {
  response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
  return true
}
const inMiddle = (path: string): boolean => path.includes('page=5')
const older: Thing = { id: 99, at: '1999-01-01T00:00:00.000Z' }

const CASES: readonly Case[] = [
  {
    what: 'a credential that is refused',
    code: 'MESH_POLL_AUTH',
    says: 'the server answers 401',
    bad(_path, response) {
      response.writeHead(401).end('{}')
      return true
    },
  },
  {
    what: 'a page of HTML in the middle of a run',
    code: 'MESH_POLL_NOT_JSON',
    says: 'a page of HTML (a login, a proxy?)',
    bad(path, response) {
      if (inMiddle(path)) response.setHeader('content-type', 'text/html').end('<html>please log in</html>')
      return inMiddle(path)
    },
  },
  {
    what: 'a next page that is the same one',
    code: 'MESH_POLL_ENDLESS',
    says: 'the same next page twice',
    bad: (path, response, api) => inMiddle(path) && json(response, { list: api.things.slice(5, 10), next: '5' }),
  },
  {
    what: 'pages without an end',
    code: 'MESH_POLL_ENDLESS',
    says: 'a run of 4 pages has not ended',
    poll: { pages: { kind: 'token', at: '/next', size: 5, max: 4 } },
    bad: (path, response, api) =>
      /page=(10|x)/.test(path) && json(response, { list: api.things.slice(10), next: `x${Math.random()}` }),
  },
  {
    what: 'a cursor that goes backwards',
    code: 'MESH_POLL_CURSOR',
    says: 'from before the cursor',
    bad: (path, response, api) =>
      path.includes('since=') && json(response, { list: [older, ...api.things], next: null }),
  },
  {
    what: 'GraphQL errors beside a part of the data',
    code: 'MESH_POLL_GRAPHQL',
    says: 'the server answers with an error (INTERNAL)',
    poll: {
      query: undefined as never,
      graphql: { query: 'query($page: String) { list(after: $page) { id at } }', variables: { page: '{{page}}' } },
      records: '/data/list',
      pages: undefined as never,
      cursor: undefined as never,
    },
    bad: (_path, response, api) =>
      json(response, {
        data: { list: api.things.slice(0, 3) },
        errors: [{ message: 'boom', extensions: { code: 'INTERNAL' } }],
      }),
  },
]

test.concurrent.for(CASES)(
  '$what: told in `mesh status`, asked again with growing pauses, nothing of it taken, and nothing lost when it is right again',
  { timeout: 120_000 },
  async (one, { expect, onTestFinished }) => {
    const api = await servePaged(thingsUpTo(COUNT))
    onTestFinished(() => api.close())
    const kafka = createMemoryKafka()
    const stream = polledStream(pollOf({ ...BY_TIME, ...one.poll }), { ...HTTP_SOURCE, url: api.url })
    await createTopics(kafka, stream)
    let isBad = true
    api.intercept = (request, response) => {
      if (isBad && one.bad(request.url!, response, api)) return true
      return request.method === 'POST' && json(response, { data: { list: api.things } })
    }
    const gateway = await startPolling(kafka, stream, { ports: [api.port] })
    onTestFinished(() => gateway.stop())
    const ids = (): string[] => eventIds(rawRecords(kafka, stream))

    await until(() => gateway.status().error?.code === one.code, 'the failure')
    const shown = renderPulled([{ source: 'api/things', ...gateway.status() }])
    for (const text of ['failing', one.code, one.says, gateway.status().error!.hint]) expect(shown).toContain(text)
    const [asked, taken] = [api.asked.length, ids().length]
    const since = performance.now()
    await until(() => performance.now() - since > WATCHED_MS, 'some time')
    expect(api.asked.length - asked).toBeLessThanOrEqual(MOST_TRIES)
    expect(ids().length).toBe(taken)
    expect(gateway.status().state).toBe('failing')

    isBad = false
    await until(() => new Set(ids()).size === COUNT, 'everything', 60_000)
    await until(() => gateway.status().state !== 'failing', 'it to be good again')
    expect(new Set(ids())).toEqual(new Set(thingsUpTo(COUNT).map(({ id }) => String(id))))
  },
)
