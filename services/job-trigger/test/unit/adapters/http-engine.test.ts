import { expect, test } from 'vitest'
import { createHttpEngine } from '../../../src/adapters/http-engine.ts'
import { describeEngine, executionOf } from '../../support/engine-contract.ts'
import { job } from '../../support/jobs.ts'
import { scriptedServer } from '../../support/scripted-server.ts'

/** A receiver as it should be: it knows the keys that it has taken, and can be asked for them. */
type Seen = {
  begun: number
  state: 'running' | 'succeeded' | 'failed'
  authorization: string | undefined
  body: string
}
const seen = new Map<string, Seen>()
let answer: number | null = null

const server = scriptedServer((request, body) => {
  if (answer !== null) return [answer, { message: 'not now' }]
  const url = new URL(request.url!, 'http://here')
  if (request.method === 'GET') {
    const known = seen.get(decodeURIComponent(url.pathname.split('/').at(-1)!))
    return known ? [200, { state: known.state, message: 'the receiver found a hole', outputs: [] }] : [404, {}]
  }
  const key = request.headers['idempotency-key'] as string
  if (seen.has(key)) return [409, {}]
  const state = url.pathname === '/bad' ? 'failed' : url.pathname === '/endless' ? 'running' : 'succeeded'
  seen.set(key, { begun: 1, state, authorization: request.headers.authorization, body })
  return [202, {}]
})

const engine = createHttpEngine({ TOKEN: 'Bearer secret' })
const to = (path: string, more: object = {}) => ({
  engine: 'http' as const,
  // Read when the job is used: the port is known by then.
  get options() {
    return {
      url: `http://127.0.0.1:${server.port()}${path}`,
      status: `http://127.0.0.1:${server.port()}/runs/{id}`,
      ...more,
    }
  },
})

describeEngine('http', {
  engine: () => engine,
  jobs: { good: to('/good'), bad: to('/bad'), endless: to('/endless') },
  begun: (id) => seen.get(id)?.begun ?? 0,
  away: server.away,
  afterKill: () => createHttpEngine({}),
  cancels: false,
})

const execution = (path: string, more: object = {}) => executionOf(job({ name: 'http', ...to(path, more) }))

test('the body is the input, the key the execution, and the credential comes from the environment', async () => {
  const own = execution('/good', { authorization: 'env:TOKEN' })
  await engine.submit(own)
  expect(seen.get(own.id)).toMatchObject({ authorization: 'Bearer secret' })
  expect(JSON.parse(seen.get(own.id)!.body)).toEqual(own.input)
})

test.for([
  [503, 'MESH_JOB_ENGINE_AWAY'],
  [429, 'MESH_JOB_ENGINE_AWAY'],
  [504, 'MESH_JOB_ENGINE_UNSURE'],
] as const)('an answer %i is %s, and no failure of the run', async ([status, code]) => {
  answer = status
  await expect(engine.submit(execution('/good'))).rejects.toMatchObject({ code })
  answer = null
})

test('an answer 500 or 422 is a failure with the words of the receiver', async () => {
  answer = 422
  const own = execution('/good')
  await engine.submit(own)
  expect(await engine.status(own)).toMatchObject({ state: 'failed', error: { message: 'not now' } })
  answer = null
})
