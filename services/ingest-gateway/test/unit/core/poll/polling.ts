import type { PollRule } from '@mesh/shared/core/poll-rule'
import { type PageAnswer, type PageOutcome, readAnswer } from '../../../../src/core/poll/answer.ts'
import { type PageRequest, requestOf } from '../../../../src/core/poll/request.ts'
import type { PollSpec } from '../../../../src/core/poll/spec.ts'
import { beginRun, type PollState } from '../../../../src/core/poll/state.ts'

export const NOW: number = Date.UTC(2026, 0, 10)

export function specOf(changes: Partial<PollRule> = {}): PollSpec {
  return {
    address: 'http://api.example',
    headers: {},
    secretParameter: null,
    method: 'GET',
    path: '/things',
    schedule: { everyMs: 60_000 },
    query: {},
    body: null,
    graphql: null,
    records: '',
    each: '',
    id: '/id',
    updatedAt: null,
    cursor: null,
    pages: null,
    pageSize: null,
    maxPages: 100,
    deletes: 'none',
    maxKeys: 1000,
    ...changes,
  }
}

export type Answering = (request: PageRequest) => { status?: number; headers?: Record<string, string>; body: unknown }

/** One page: begins a run where there is none. */
export function turn(spec: PollSpec, before: PollState, answering: Answering, now: number = NOW): PageOutcome {
  const state = beginRun(spec, before, now)
  const run = state.run!
  const request = requestOf(spec, state, run)
  const { status = 200, headers = {}, body } = answering(request)
  const answer: PageAnswer = {
    status,
    headers,
    body: new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body)),
    url: request.url,
  }
  return readAnswer(spec, state, { run, request, answer, now })
}

/** Pages until the run ends. @throws the error of a page that failed */
export function wholeRun(
  spec: PollSpec,
  before: PollState,
  answering: Answering,
  now: number = NOW,
): { state: PollState; events: unknown[]; requests: PageRequest[] } {
  const events: unknown[] = []
  const requests: PageRequest[] = []
  let state = before
  do {
    const outcome = turn(
      spec,
      state,
      (request) => {
        requests.push(request)
        return answering(request)
      },
      now,
    )
    if (outcome.kind === 'failed') throw outcome.error
    events.push(...outcome.events.map(({ event }) => event))
    state = outcome.next
  } while (state.run !== null)
  return { state, events, requests }
}

export const parameters = (request: PageRequest): Record<string, string> =>
  Object.fromEntries(new URL(request.url).searchParams)
