import { createHash } from 'node:crypto'
import { MeshError } from '@mesh/shared/core/errors'
import { formatInstant, parseInstant } from '@mesh/shared/core/instant'
import type { CursorRule, TimeFormat } from '@mesh/shared/core/poll-rule'
import type { PollSpec } from './spec.ts'

/** How far a poll has come: the value of its record on `mesh.cursors`, written in the transaction of the records it speaks of. */
export type PollState = {
  /**
   * Where the next run begins: a time cursor's in RFC 3339, an id or token as the server gave it, an offset in digits. Null =
   * nothing is known yet.
   */
  readonly since: string | null
  /** The run under way; null between runs. */
  readonly run: PollRun | null
  /** Of the last answer that was taken whole in one page. */
  readonly validators: Validators | null
  /** Page size in use, where the poll has one. */
  readonly size: number | null
  /** Pages since the size last changed. */
  readonly steady: number
  /** Runs finished; names a run for good. */
  readonly runs: number
  /** Epoch ms at which the last finished run began. */
  readonly ranAt: number | null
}

export type PollRun = {
  /** Epoch ms; upper end of a time cursor's last window. */
  readonly startedAt: number
  /** Bounds of the window being read, as `since`; null = open. */
  readonly from: string | null
  readonly until: string | null
  /** Furthest value of the cursor seen in this window. */
  readonly high: string | null
  readonly page: PagePosition
  /** Pages read in this run. */
  readonly pages: number
}

/** Null where the rule has no such position, and on the first page. */
export type PagePosition = { readonly token: string | null; readonly offset: number; readonly number: number }
export type Validators = { readonly url: string; readonly etag: string | null; readonly lastModified: string | null }

export const FRESH_STATE: PollState = {
  since: null,
  run: null,
  validators: null,
  size: null,
  steady: 0,
  runs: 0,
  ranAt: null,
}

/** Begins a run, or leaves the one that was interrupted. */
export function beginRun(spec: PollSpec, state: PollState, now: number): PollState {
  if (state.run !== null) return state
  const from = firstFrom(spec.cursor, state.since, now)
  return {
    ...state,
    size: state.size ?? spec.pageSize,
    run: { ...windowOf(spec.cursor, from, now), startedAt: now, high: null, page: firstPage(spec, state), pages: 0 },
  }
}

/** What follows the last page of a window: the next window of the run, or its end. `token` is the answer's, for a token cursor. */
export function finishWindow(spec: PollSpec, state: PollState, run: PollRun, token: string | null): PollState {
  const { cursor } = spec
  if (cursor?.kind === 'time' && run.until !== null && Date.parse(run.until) < run.startedAt) {
    const since = furthest(cursor, state.since, run.until)
    const window = windowOf(cursor, run.until, run.startedAt)
    return { ...state, since, run: { ...run, ...window, high: null, page: firstPage(spec, state) } }
  }
  const done = { ...state, run: null, runs: state.runs + 1, ranAt: run.startedAt }
  if (cursor === null) return done
  if (cursor.kind === 'offset') return { ...done, since: String(run.page.offset) }
  if (cursor.kind === 'token') return { ...done, since: token ?? state.since }
  return { ...done, since: furthest(cursor, state.since, run.high) }
}

/** The state with the interrupted run thrown away: what it has read is read again, under the same event ids. */
export function restartRun(state: PollState): PollState {
  return { ...state, run: null }
}

function firstFrom(cursor: CursorRule | null, since: string | null, now: number): string | null {
  if (cursor?.kind === 'time') {
    if (since === null) return cursor.start
    return formatInstant(Math.min(Date.parse(since), now) - cursor.lookbackMs)
  }
  return cursor?.kind === 'id' ? (since ?? cursor.start) : since
}

function windowOf(cursor: CursorRule | null, from: string | null, now: number): Pick<PollRun, 'from' | 'until'> {
  if (cursor?.kind !== 'time') return { from, until: null }
  if (cursor.windowMs === null || from === null) return { from, until: formatInstant(now) }
  return { from, until: formatInstant(Math.min(Date.parse(from) + cursor.windowMs, now)) }
}

function firstPage(spec: PollSpec, state: PollState): PagePosition {
  const offset = spec.cursor?.kind === 'offset' ? Number(state.since ?? 0) : 0
  return { token: null, offset, number: spec.pages?.kind === 'number' ? spec.pages.first : 0 }
}

/**
 * A cursor value of an event in the state's form. Times are cut to milliseconds, so that a run begins at or before what it knows.
 * @throws MeshError MESH_POLL_CURSOR
 */
export function cursorValue(cursor: CursorRule, value: unknown): string {
  if (cursor.kind === 'id' && (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint')) {
    return String(value)
  }
  const ms = cursor.kind === 'time' ? epochMs(value, cursor.format) : null
  if (ms === null) throw new MeshError('MESH_POLL_CURSOR', `an event has no readable ${cursor.kind} for the cursor`)
  return formatInstant(ms)
}

/** The later of two cursor values. Ids that are whole numbers are compared as such, others as text. */
export function furthest(cursor: CursorRule, a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b
  return isBefore(cursor, a, b) ? b : a
}

export function isBefore(cursor: CursorRule, a: string, b: string): boolean {
  if (cursor.kind === 'time') return Date.parse(a) < Date.parse(b)
  return /^-?\d+$/.test(a) && /^-?\d+$/.test(b) ? BigInt(a) < BigInt(b) : a < b
}

/** A time of the state as the server wants it. */
export function formatTime(time: string, format: TimeFormat): string | number {
  const ms = Date.parse(time)
  if (format === 'date') return formatInstant(ms).slice(0, 10)
  return format === 'rfc3339' ? formatInstant(ms) : format === 'epoch-s' ? Math.floor(ms / 1000) : ms
}

function epochMs(value: unknown, format: TimeFormat): number | null {
  if (format === 'epoch-s' || format === 'epoch-ms') {
    const number =
      typeof value === 'number' || typeof value === 'bigint' || /^\d+$/.test(String(value)) ? Number(value) : Number.NaN
    const ms = Math.floor(format === 'epoch-s' ? number * 1000 : number)
    return Number.isSafeInteger(ms) && Math.abs(ms) < 8.64e15 ? ms : null
  }
  if (typeof value !== 'string') return null
  return parseInstant(/^\d{4}-\d\d-\d\d$/.test(value) ? `${value}T00:00:00Z` : value)?.epochMs ?? null
}

/** The state as it is kept on `mesh.cursors`: with what it means, so that a changed contract does not misread it. */
export const keptState = (spec: PollSpec, state: PollState): unknown => ({ of: meaningOf(spec), ...state })

/** The kept state, or a fresh one where the cursor means something else by now. A run begun by other rules is thrown away. */
export function adoptState(spec: PollSpec, kept: unknown): PollState {
  if (kept === null || typeof kept !== 'object') return FRESH_STATE
  const { of, ...rest } = kept as PollState & { readonly of: Meaning }
  const state: PollState = { ...FRESH_STATE, ...rest }
  const own = meaningOf(spec)
  if (of.cursor !== own.cursor) return { ...FRESH_STATE, runs: state.runs }
  const size = spec.pageSize === null || state.size === null ? null : Math.min(state.size, spec.pageSize)
  return of.request === own.request ? { ...state, size } : { ...state, run: null, validators: null, size }
}

type Meaning = { readonly cursor: string; readonly request: string }

function meaningOf({ cursor, pages, query, body, graphql, records, each, method, address, path }: PollSpec): Meaning {
  const request = JSON.stringify({ pages, query, body, graphql, records, each, method, address, path })
  return {
    cursor: cursor === null ? 'none' : cursor.kind === 'offset' ? 'offset' : `${cursor.kind} ${cursor.at}`,
    request: createHash('sha256').update(request).digest('hex').slice(0, 16),
  }
}
