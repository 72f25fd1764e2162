import { isMeshError } from '@mesh/shared/core/errors'
import { bytesText, type RecordToSend } from '@mesh/shared/core/record'
import { nextDue } from '@mesh/shared/core/schedule'
import type { HttpEndpoint } from './adapters/http-source.ts'
import { createKeyTable } from './core/key-table.ts'
import { type PageOutcome, readAnswer, readFailure } from './core/poll/answer.ts'
import { pauseMs } from './core/poll/pause.ts'
import { buildDeletes, buildPage } from './core/poll/records.ts'
import { requestOf } from './core/poll/request.ts'
import type { PollSpec } from './core/poll/spec.ts'
import { adoptState, beginRun, keptState, type PollRun, type PollState } from './core/poll/state.ts'
import { createSweep, type Sweep } from './core/poll/sweep.ts'
import type { IngestStream, SourceSession } from './core/ports.ts'
import type { SourceReport } from './core/source-status.ts'
import { sleep } from './sleep.ts'

export type PollTaskOptions = {
  readonly spec: PollSpec
  /** Name of the source. */
  readonly source: string
  readonly stream: IngestStream
  readonly endpoint: HttpEndpoint
  readonly maxEventBytes: number
  readonly report: SourceReport
  readonly now: () => number
  readonly random: () => number
}

type Page = Extract<PageOutcome, { kind: 'page' }>

/**
 * Polls until the signal: due → ask → read → build → one transaction of records and position. A page that fails takes nothing and is
 * asked for again after a pause. Rejects when the session is spent.
 */
export async function runPoll(options: PollTaskOptions, session: SourceSession, signal: AbortSignal): Promise<void> {
  const { spec, report, now } = options
  const table = spec.deletes === 'sweep' ? createKeyTable(session.parts, spec.maxKeys) : null
  const sweep = table && createSweep(table, options.stream.contract.refine.dedupeWindowMs)
  let state = adoptState(spec, session.state)
  let failures = 0
  report.running(shown(state))

  while (!signal.aborted) {
    if (state.run === null) {
      report.waiting()
      await sleep(nextDue(spec.schedule, state.ranAt, now()) - now(), signal)
      if (signal.aborted) return
      state = beginRun(spec, state, now())
    }
    report.running(shown(state))
    const outcome = await turn(options, state, signal)
    if (signal.aborted) return
    const written =
      outcome.kind === 'page'
        ? await write(options, { session, state, sweep, takeChanged: table?.takeChanged }, outcome)
        : outcome
    if (written.kind === 'failed') {
      failures++
      state = written.retry
      report.failing(written.error)
      await sleep(pauseMs(failures, written.askedMs, options.random()), signal)
      continue
    }
    failures = 0
    state = written.next
    if (state.run === null) report.ok(shown(state))
  }
}

async function turn(
  { spec, endpoint, now }: PollTaskOptions,
  state: PollState,
  signal: AbortSignal,
): Promise<PageOutcome> {
  const run = state.run as PollRun
  const request = requestOf(spec, state, run)
  try {
    const answer = await endpoint.ask(request, signal)
    return readAnswer(spec, state, { run, request, answer, now: now() })
  } catch (error) {
    if (signal.aborted) return { kind: 'page', events: [], next: state }
    if (!isMeshError(error)) throw error
    return readFailure(spec, state, error)
  }
}

type Place = {
  readonly session: SourceSession
  readonly state: PollState
  readonly sweep: Sweep | null
  /** What is to be kept of the sweep. */
  readonly takeChanged: (() => ReadonlyMap<string, unknown>) | undefined
}

async function write(options: PollTaskOptions, place: Place, page: Page): Promise<PageOutcome> {
  const { spec, stream, source, maxEventBytes } = options
  const { session, state, sweep } = place
  const receivedAt = options.now()
  const build = { stream, source, maxEventBytes, receivedAt, sweep }
  let records: RecordToSend[]
  try {
    const built = buildPage(spec, page.events, build)
    records = built.map(({ record }) => record)
    if (sweep !== null) {
      for (const { record } of built) sweep.see(bytesText(record.key!), state.runs)
      const gone = page.next.run === null ? sweep.vanished(state.runs, receivedAt) : []
      records.push(...buildDeletes(gone, state.runs, build))
    }
  } catch (error) {
    if (!isMeshError(error)) throw error
    return { kind: 'failed', error, askedMs: null, retry: state }
  }
  // A turn that changes nothing but its time needs no record: a restart polls once more.
  if (records.length > 0 || !isSameBut(state, page.next)) {
    const parts = place.takeChanged?.() ?? new Map<string, unknown>()
    await session.commit({ records, state: keptState(spec, page.next), parts })
  }
  if (records.length > 0) options.report.written(records.length)
  return page
}

/** Whether a finished run has left the position where it was. */
function isSameBut(before: PollState, after: PollState): boolean {
  if (after.run !== null || (before.run?.pages ?? 0) > 0) return false
  const bare = (state: PollState): string => JSON.stringify({ ...state, run: null, runs: 0, ranAt: 0, steady: 0 })
  return bare(before) === bare(after)
}

const shown = ({ since, run, size }: PollState): unknown => ({
  since,
  ...(run === null ? {} : { from: run.from, until: run.until, pages: run.pages }),
  ...(size === null ? {} : { size }),
})
