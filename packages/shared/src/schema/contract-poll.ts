import { parseDuration } from '../core/duration.ts'
import { parseInstant } from '../core/instant.ts'
import type { CursorRule, PageRule, PollRule, TemplateName, TimeFormat } from '../core/poll-rule.ts'
import { cronProblem, type Schedule } from '../core/schedule.ts'
import { textsOf, unknownNames, usesName } from '../core/template.ts'
import type { YamlPath } from './contract-yaml.ts'

/** The keys of an ingest of kind poll, as stream.schema.json lets them through. */
export type RawPoll = {
  readonly path?: string
  readonly method?: 'GET' | 'POST'
  readonly every?: string
  readonly cron?: string
  readonly zone?: string
  readonly query?: Readonly<Record<string, string | number | boolean>>
  readonly body?: unknown
  readonly graphql?: {
    readonly query: string
    readonly variables?: Readonly<Record<string, unknown>>
    readonly partial?: 'fail' | 'take'
  }
  readonly records?: string
  readonly each?: string
  readonly id?: string
  readonly updatedAt?: string
  readonly cursor?: {
    readonly kind: CursorRule['kind']
    readonly at?: string
    readonly format?: TimeFormat
    readonly start?: string | number
    readonly lookback?: string
    readonly window?: string
  }
  readonly pages?: {
    readonly kind: PageRule['kind'] | 'connection'
    readonly at?: string
    readonly hasMore?: string
    readonly first?: number
    readonly size?: number
    readonly max?: number
  }
  readonly deletes?: 'none' | 'sweep'
  readonly maxKeys?: number
}

export const POLL_KEYS: readonly (keyof RawPoll)[] = [
  'path',
  'method',
  'every',
  'cron',
  'zone',
  'query',
  'body',
  'graphql',
  'records',
  'each',
  'id',
  'updatedAt',
  'cursor',
  'pages',
  'deletes',
  'maxKeys',
]
export const DEFAULT_MAX_KEYS = 100_000
const DEFAULT_EVERY_MS = 60_000
const DEFAULT_MAX_PAGES = 10_000

export function buildPoll(raw: RawPoll): PollRule {
  const { graphql, pages } = raw
  const hasBody = raw.body !== undefined || graphql !== undefined
  const connection = pages?.kind === 'connection' ? pages.at : undefined
  return {
    method: raw.method ?? (hasBody ? 'POST' : 'GET'),
    path: raw.path ?? '',
    schedule: scheduleOf(raw),
    query: Object.fromEntries(Object.entries(raw.query ?? {}).map(([name, value]) => [name, String(value)])),
    body: raw.body ?? null,
    graphql: graphql
      ? { query: graphql.query, variables: graphql.variables ?? {}, partial: graphql.partial ?? 'fail' }
      : null,
    records: raw.records ?? (connection === undefined ? '' : `${connection}/edges`),
    each: raw.each ?? (connection === undefined || raw.records !== undefined ? '' : '/node'),
    id: raw.id ?? null,
    updatedAt: raw.updatedAt ?? null,
    cursor: raw.cursor ? buildCursor(raw.cursor) : null,
    pages: pages ? buildPages(pages) : null,
    pageSize: pages?.size ?? null,
    maxPages: pages?.max ?? DEFAULT_MAX_PAGES,
    deletes: raw.deletes ?? 'none',
    maxKeys: raw.maxKeys ?? DEFAULT_MAX_KEYS,
  }
}

function scheduleOf(raw: RawPoll): Schedule {
  if (raw.cron !== undefined) return { cron: raw.cron, zone: raw.zone ?? 'UTC' }
  return { everyMs: durationOf(raw.every) ?? DEFAULT_EVERY_MS }
}

function buildCursor(raw: NonNullable<RawPoll['cursor']>): CursorRule {
  const at = raw.at ?? ''
  const start = raw.start === undefined ? null : String(raw.start)
  switch (raw.kind) {
    case 'time':
      return {
        kind: 'time',
        at,
        format: raw.format ?? 'rfc3339',
        start,
        lookbackMs: durationOf(raw.lookback) ?? 0,
        windowMs: durationOf(raw.window),
      }
    case 'id':
      return { kind: 'id', at, start }
    case 'token':
      return { kind: 'token', at }
    case 'offset':
      return { kind: 'offset' }
  }
}

function buildPages(raw: NonNullable<RawPoll['pages']>): PageRule {
  const at = raw.at ?? ''
  switch (raw.kind) {
    case 'token':
      return { kind: 'token', at, hasMore: raw.hasMore ?? null }
    case 'connection':
      return { kind: 'token', at: `${at}/pageInfo/endCursor`, hasMore: `${at}/pageInfo/hasNextPage` }
    case 'link':
      return { kind: 'link', at: raw.at ?? null }
    case 'offset':
      return { kind: 'offset' }
    case 'number':
      return { kind: 'number', first: raw.first ?? 1 }
  }
}

type Report = (path: YamlPath, reason: string) => void
type Stream = { readonly key?: unknown; readonly eventId?: unknown }

/** What a JSON Schema cannot say of a poll. */
export function checkPoll(raw: RawPoll, stream: Stream, report: Report): void {
  checkIdentity(raw, stream, report)
  checkRequest(raw, report)
  checkCursor(raw, report)
  checkPages(raw, report)
  if (raw.deletes !== 'sweep') return
  if (raw.cursor) report(['deletes'], 'a sweep reads everything: remove the cursor')
  if (stream.key === undefined) report(['deletes'], 'a delete needs the key of what is gone: the contract needs `key`')
}

/** An event that is read twice must have the id it had: else an overlap would be a new event. */
function checkIdentity(raw: RawPoll, stream: Stream, report: Report): void {
  if (raw.id === undefined && stream.eventId === undefined) {
    report([], 'a poll needs `id` (with `updatedAt` where things change), or the contract `eventId`')
  }
  if (raw.id !== undefined && stream.eventId !== undefined) report(['id'], 'the contract names `eventId`: remove one')
  if (raw.updatedAt !== undefined && raw.id === undefined) report(['updatedAt'], '`updatedAt` belongs to `id`')
}

function checkRequest(raw: RawPoll, report: Report): void {
  if (raw.body !== undefined && raw.graphql) report(['graphql'], 'a request has one body: remove `body` or `graphql`')
  if (raw.method === 'GET' && (raw.body !== undefined || raw.graphql)) report(['method'], 'GET has no body')
  if (raw.cron !== undefined && raw.every !== undefined) report(['cron'], 'remove `every` or `cron`')
  if (raw.zone !== undefined && raw.cron === undefined) report(['zone'], '`zone` belongs to `cron`')
  if (raw.every !== undefined && durationOf(raw.every) === 0) report(['every'], 'every must be longer than 0')
  const problem = raw.cron === undefined ? null : cronProblem(raw.cron, raw.zone ?? 'UTC')
  if (problem !== null) report(['cron'], problem)
  for (const [place, texts] of templatesOf(raw)) {
    for (const name of texts.flatMap(unknownNames)) report([place], `{{${name}}} stands for nothing`)
  }
}

function checkCursor(raw: RawPoll, report: Report): void {
  const { cursor } = raw
  if (!cursor) return
  if (cursor.kind !== 'offset' && cursor.at === undefined)
    report(['cursor'], `a cursor of kind ${cursor.kind} needs \`at\``)
  for (const key of ['format', 'lookback', 'window'] as const) {
    if (cursor.kind !== 'time' && cursor[key] !== undefined) report(['cursor', key], `\`${key}\` belongs to kind time`)
  }
  if (cursor.start !== undefined && cursor.kind !== 'time' && cursor.kind !== 'id') {
    report(['cursor', 'start'], '`start` belongs to kind time or id')
  }
  if (cursor.kind === 'time' && cursor.start !== undefined && !parseInstant(String(cursor.start))?.offset) {
    report(['cursor', 'start'], 'start must be an RFC 3339 time')
  }
  if (cursor.window !== undefined && cursor.start === undefined) report(['cursor', 'window'], 'a window needs `start`')
  if (cursor.window !== undefined && durationOf(cursor.window) === 0) report(['cursor', 'window'], 'longer than 0')
  if (cursor.window !== undefined && !uses(raw, 'until')) report(['cursor', 'window'], 'a window needs {{until}}')
  const name = cursor.kind === 'offset' ? 'offset' : 'since'
  if (!uses(raw, name)) report(['cursor'], `the cursor has no effect: {{${name}}} stands nowhere in the request`)
}

function checkPages(raw: RawPoll, report: Report): void {
  const { pages } = raw
  if (!pages) return
  const { kind } = pages
  if ((kind === 'token' || kind === 'connection') && pages.at === undefined) report(['pages'], `${kind} needs \`at\``)
  if (pages.hasMore !== undefined && kind !== 'token') report(['pages', 'hasMore'], '`hasMore` belongs to kind token')
  if (pages.first !== undefined && kind !== 'number') report(['pages', 'first'], '`first` belongs to kind number')
  const name = { token: 'page', connection: 'page', offset: 'offset', number: 'number', link: null }[kind]
  if (name !== null && !uses(raw, name as TemplateName)) {
    report(['pages'], `pages have no effect: {{${name}}} stands nowhere in the request`)
  }
  if (pages.size !== undefined && !uses(raw, 'size'))
    report(['pages', 'size'], '{{size}} stands nowhere in the request')
}

function templatesOf(raw: RawPoll): [string, string[]][] {
  return [
    ['path', textsOf(raw.path)],
    ['query', textsOf(raw.query)],
    ['body', textsOf(raw.body)],
    ['graphql', textsOf(raw.graphql?.variables)],
  ]
}

const uses = (raw: RawPoll, name: TemplateName): boolean =>
  templatesOf(raw).some(([, texts]) => texts.some((text) => usesName(text, name)))

const durationOf = (text: string | undefined): number | null => (text === undefined ? null : parseDuration(text))
