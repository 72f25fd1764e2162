import { MeshError } from '@mesh/shared/core/errors'
import { at, pointerTokens } from '@mesh/shared/core/json-pointer'
import { jsonSlices, sliceAt } from '@mesh/shared/core/json-slices'
import { parseJson } from '@mesh/shared/core/json-text'
import { growPage, shrinkPage } from './page-size.ts'
import { retryAfterMs } from './pause.ts'
import type { PageRequest } from './request.ts'
import type { PollSpec } from './spec.ts'
import { cursorValue, finishWindow, furthest, isBefore, type PollRun, type PollState, restartRun } from './state.ts'

export type PageAnswer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** Where it came from after redirects. */
  readonly url: string
}

/** A page that was asked for, and what came. */
export type PageExchange = {
  readonly run: PollRun
  readonly request: PageRequest
  readonly answer: PageAnswer
  /** Epoch ms. */
  readonly now: number
}

/** One event of a page, as it was sent, and parsed. */
export type PageEvent = { readonly bytes: Uint8Array; readonly event: unknown }

/** What an answer means. `next` is the state that is written with the page's events, in one transaction. */
export type PageOutcome =
  | { readonly kind: 'page'; readonly events: readonly PageEvent[]; readonly next: PollState }
  /** Nothing is taken, the state stays but for what `retry` says. */
  | { readonly kind: 'failed'; readonly error: MeshError; readonly askedMs: number | null; readonly retry: PollState }

/** Reads a page's answer. Never throws for what a server says. */
export function readAnswer(spec: PollSpec, state: PollState, exchange: PageExchange): PageOutcome {
  const { answer, run, request } = exchange
  try {
    if (answer.status === 304 && isConditional(request))
      return { kind: 'page', events: [], next: finishWindow(spec, state, run, null) }
    if (answer.status < 200 || answer.status > 299) return refusal(spec, state, exchange)
    return readPage(spec, state, exchange)
  } catch (error) {
    if (!(error instanceof MeshError)) throw error
    return { kind: 'failed', error, askedMs: null, retry: state }
  }
}

const isConditional = ({ headers }: PageRequest): boolean =>
  headers['if-none-match'] !== undefined || headers['if-modified-since'] !== undefined

/** What a request without an answer means. */
export function readFailure(spec: PollSpec, state: PollState, error: MeshError): PageOutcome {
  const smaller = error.code === 'MESH_HTTP_TIMEOUT' || error.code === 'MESH_HTTP_TOO_LARGE'
  return { kind: 'failed', error, askedMs: null, retry: (smaller && shrinkPage(spec, state)) || state }
}

function refusal(spec: PollSpec, state: PollState, { run, answer, now }: PageExchange): PageOutcome {
  const { status } = answer
  const askedMs = retryAfterMs(answer.headers['retry-after'], now)
  const failed = (error: MeshError, retry = state): PageOutcome => ({ kind: 'failed', error, askedMs, retry })
  const said = `the server answers ${status}`
  if (status === 401 || status === 403) return failed(new MeshError('MESH_POLL_AUTH', said))
  if (status === 429) return failed(new MeshError('MESH_POLL_RATE_LIMITED', said))
  if (status === 413 || status >= 500) {
    return failed(new MeshError('MESH_POLL_SERVER', said), shrinkPage(spec, state) ?? state)
  }
  // A page in the middle that was good once: its token has expired. What was read is read again, under the same ids.
  const retry = run.pages > 0 && run.page.token !== null ? restartRun(state) : state
  return failed(new MeshError('MESH_POLL_STATUS', said), retry)
}

function readPage(spec: PollSpec, state: PollState, { run, request, answer }: PageExchange): PageOutcome {
  const whole = parseWhole(answer)
  if (spec.graphql !== null) checkGraphql(whole, spec.graphql.partial)
  const events = eventsOf(spec, answer.body, whole)
  const seen = seeCursor(spec, run, events)
  const page = nextPage(spec, { run, answer, whole, count: events.length, size: state.size })
  const grown = growPage(spec, state)
  if (page !== null) {
    if (run.pages + 1 >= spec.maxPages) throw endless(`a run of ${spec.maxPages} pages has not ended`)
    return { kind: 'page', events, next: { ...grown, run: { ...seen, page, pages: run.pages + 1 } } }
  }
  const ended = { ...seen, pages: run.pages + 1, page: { ...run.page, offset: run.page.offset + events.length } }
  const validators = spec.pages === null ? validatorsOf(answer, request.url) : null
  return { kind: 'page', events, next: { ...finishWindow(spec, grown, ended, syncToken(spec, whole)), validators } }
}

function parseWhole({ body, headers }: PageAnswer): unknown {
  const type = headers['content-type'] ?? ''
  if (/^\s*text\/html/i.test(type)) {
    throw new MeshError('MESH_POLL_NOT_JSON', 'the server sends a page of HTML (a login, a proxy?) instead of JSON')
  }
  return parseJson(body, { code: 'MESH_POLL_NOT_JSON' })
}

/** GraphQL errors come with status 200. */
function checkGraphql(whole: unknown, partial: 'fail' | 'take'): void {
  const errors = at(whole, '/errors')
  if (!Array.isArray(errors) || errors.length === 0) return
  const data = at(whole, '/data')
  if (partial === 'take' && data !== null && data !== undefined) return
  const count = errors.length === 1 ? 'an error' : `${errors.length} errors`
  const code = at(errors[0], '/extensions/code')
  const named = typeof code === 'string' && /^\w{1,60}$/.test(code) ? ` (${code})` : ''
  throw new MeshError('MESH_POLL_GRAPHQL', `the server answers with ${count}${named}; nothing of the page is taken`)
}

function eventsOf(spec: PollSpec, body: Uint8Array, whole: unknown): PageEvent[] {
  const list = at(whole, spec.records)
  if (!Array.isArray(list)) {
    throw new MeshError('MESH_POLL_SHAPE', `the answer has no list at ${spec.records || 'its root'}`)
  }
  if (list.length === 0) return []
  const slices = jsonSlices(sliceAt(body, pointerTokens(spec.records))!)
  const each = pointerTokens(spec.each)
  return list.map((element, i) => {
    const event = at(element, each)
    const bytes = event === undefined ? null : sliceAt(slices[i]!, each)
    if (bytes === null || event === null) {
      throw new MeshError('MESH_POLL_SHAPE', `element ${i} has no event at ${spec.each || 'its root'}`)
    }
    return { bytes, event }
  })
}

/** The run with the furthest cursor value of the page. An event from before what was asked for says that the server does not honour it. */
function seeCursor(spec: PollSpec, run: PollRun, events: readonly PageEvent[]): PollRun {
  const { cursor } = spec
  if (cursor?.kind !== 'time' && cursor?.kind !== 'id') return run
  let high = run.high
  for (const { event } of events) {
    const value = cursorValue(cursor, at(event, cursor.at))
    if (run.from !== null && isBefore(cursor, value, asked(cursor, run.from))) {
      throw new MeshError(
        'MESH_POLL_CURSOR',
        'the server sends events from before the cursor: it goes backwards, or is not honoured',
      )
    }
    high = furthest(cursor, high, value)
  }
  return { ...run, high }
}

/** What the server was told, in its own granularity. */
function asked(cursor: NonNullable<PollSpec['cursor']>, from: string): string {
  if (cursor.kind !== 'time') return from
  if (cursor.format === 'date') return `${from.slice(0, 10)}T00:00:00.000Z`
  return cursor.format === 'epoch-s' ? `${from.slice(0, 19)}.000Z` : from
}

type PageEnd = {
  readonly run: PollRun
  readonly answer: PageAnswer
  readonly whole: unknown
  readonly count: number
  readonly size: number | null
}

/** Where the next page is, or null after the last one. @throws MeshError MESH_POLL_ENDLESS, MESH_POLL_SHAPE */
function nextPage(spec: PollSpec, { run, answer, whole, count, size }: PageEnd): PollRun['page'] | null {
  const { pages } = spec
  const { page } = run
  if (pages === null) return null
  if (pages.kind === 'offset' || pages.kind === 'number') {
    // A page that is not full is the last one; a server that does not say how full it is ends with an empty one.
    if (count === 0 || (size !== null && count < size)) return null
    return { ...page, offset: page.offset + count, number: page.number + 1 }
  }
  if (pages.kind === 'token' && pages.hasMore !== null && at(whole, pages.hasMore) !== true) return null
  const token =
    pages.kind === 'link' && pages.at === null ? nextLink(answer.headers['link']) : tokenAt(whole, pages.at!)
  if (token === null) {
    if (pages.kind === 'token' && pages.hasMore !== null) {
      throw new MeshError('MESH_POLL_SHAPE', `the answer says that there is more, and has no token at ${pages.at}`)
    }
    return null
  }
  const next = pages.kind === 'link' ? linkTarget(token, answer.url, spec) : token
  if (next === page.token) throw endless('the server names the same next page twice')
  return { ...page, token: next }
}

function tokenAt(whole: unknown, pointer: string): string | null {
  const token = at(whole, pointer)
  if (token === null || token === undefined || token === '') return null
  if (typeof token === 'string' || typeof token === 'number' || typeof token === 'bigint') return String(token)
  throw new MeshError('MESH_POLL_SHAPE', `what is at ${pointer} is no token`)
}

const syncToken = (spec: PollSpec, whole: unknown): string | null =>
  spec.cursor?.kind === 'token' ? tokenAt(whole, spec.cursor.at) : null

/** The target of `rel="next"` in a Link header (RFC 8288), or null. */
export function nextLink(header: string | undefined): string | null {
  for (const match of (header ?? '').matchAll(/<([^>]*)>((?:\s*;\s*[\w*]+\s*=\s*(?:"[^"]*"|[^\s;,"]+))*)/g)) {
    const rel = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))/i.exec(match[2]!)
    if ((rel?.[1] ?? rel?.[2] ?? '').toLowerCase().split(/\s+/).includes('next')) return match[1]!
  }
  return null
}

/**
 * Credentials go with every page, so a page lies where the source does. A credential that the server repeats in its link is taken
 * out: the link is kept on `mesh.cursors`.
 */
function linkTarget(link: string, from: string, spec: PollSpec): string {
  const url = URL.parse(link, from)
  if (url === null || url.origin !== new URL(spec.address).origin) {
    throw new MeshError('MESH_POLL_SHAPE', 'the next page is at another origin than the source')
  }
  if (spec.secretParameter !== null) url.searchParams.delete(spec.secretParameter)
  return url.href
}

function validatorsOf({ headers }: PageAnswer, url: string): PollState['validators'] {
  const etag = headers['etag'] ?? null
  const lastModified = headers['last-modified'] ?? null
  return etag === null && lastModified === null ? null : { url, etag, lastModified }
}

const endless = (text: string): MeshError => new MeshError('MESH_POLL_ENDLESS', text)
