import type { Contract, OnMissing, Privacy, PrivacyRule } from '../core/contract.ts'
import { parseDuration } from '../core/duration.ts'
import { tableName } from '../core/topics.ts'
import { compileFormat, isTimeZone } from '../core/zoned-time.ts'
import { buildIngest, checkIngests, isKeyedBySource, type RawIngest } from './contract-ingest.ts'
import { buildLookup, checkLookups, type RawLookup } from './contract-lookups.ts'
import type { ReportProblem } from './contract-problem.ts'

/** A contract as stream.schema.json lets it through. */
type RawOnMissing = 'null' | 'dead-letter' | { readonly wait: string; readonly then?: 'null' | 'dead-letter' }
export type RawContract = {
  readonly name: string
  readonly description?: string
  readonly owner?: string
  readonly key?: string | readonly string[]
  readonly eventId?: string
  readonly eventTime?: { readonly at: string; readonly format?: string; readonly zone?: string }
  readonly ingest: readonly RawIngest[]
  readonly raw?: { readonly partitions?: number; readonly retention?: string }
  readonly refine: {
    readonly schema: string
    readonly guarantee?: 'at-least-once' | 'exactly-once'
    readonly dedupe?: { readonly window?: string }
    readonly breaker?: { readonly share?: number; readonly window?: number }
    readonly joins?: readonly {
      readonly stream: string
      readonly as?: string
      readonly on: string
      readonly onMissing?: RawOnMissing
      readonly asOf?: 'event-time'
      readonly history?: string
      readonly scope?: 'global'
    }[]
    readonly lookups?: readonly RawLookup[]
    readonly cleanup?: 'delete' | 'compact'
    readonly retention?: string
  }
  readonly privacy?: {
    readonly key: string
    readonly fields: readonly { readonly at: string; readonly as: PrivacyRule['as']; readonly subject?: string }[]
  }
  readonly lake?: { readonly bronze?: RawLayer; readonly silver?: RawLayer }
  readonly warehouse?: { readonly table?: string; readonly mode?: 'append' | 'upsert' }
}
type RawLayer = { readonly retention?: string }

const DAY_MS = 86_400_000
const DEFAULT_PARTITIONS = 6
const DEFAULT_RETENTION_MS = 7 * DAY_MS
const DEFAULT_HISTORY_MS = 7 * DAY_MS
const MAX_DEFAULT_WINDOW_MS = 7 * DAY_MS

/** Fills the defaults in. `raw` has passed `checkContract`. */
export function buildContract(raw: RawContract): Contract {
  const retentionMs = durationOf(raw.raw?.retention) ?? DEFAULT_RETENTION_MS
  const { eventTime, refine, warehouse } = raw
  return {
    name: raw.name,
    description: raw.description ?? '',
    owner: raw.owner ?? '',
    key: raw.key === undefined ? [] : typeof raw.key === 'string' ? [raw.key] : raw.key,
    eventId: raw.eventId ?? null,
    eventTime: eventTime ? { at: eventTime.at, format: eventTime.format ?? null, zone: eventTime.zone ?? 'UTC' } : null,
    ingest: raw.ingest.map(buildIngest),
    validateAtIngest: raw.ingest.some((ingest) => ingest.validate === true),
    raw: { partitions: raw.raw?.partitions ?? DEFAULT_PARTITIONS, retentionMs },
    refine: {
      schema: refine.schema,
      guarantee: refine.guarantee ?? 'at-least-once',
      breaker: { share: refine.breaker?.share ?? 0.5, window: refine.breaker?.window ?? 1000 },
      dedupeWindowMs: durationOf(refine.dedupe?.window) ?? Math.min(retentionMs, MAX_DEFAULT_WINDOW_MS),
      joins: (refine.joins ?? []).map((join) => ({
        stream: join.stream,
        as: join.as ?? join.stream,
        on: join.on,
        onMissing: buildOnMissing(join.onMissing ?? 'null'),
        ...(join.asOf === undefined ? {} : { asOf: { historyMs: durationOf(join.history) ?? DEFAULT_HISTORY_MS } }),
        ...(join.scope === undefined ? {} : { scope: join.scope }),
      })),
      ...(refine.lookups === undefined ? {} : { lookups: refine.lookups.map(buildLookup) }),
      cleanup: refine.cleanup ?? 'delete',
      retentionMs: durationOf(refine.retention) ?? retentionMs,
    },
    ...(raw.privacy ? { privacy: buildPrivacy(raw.privacy) } : {}),
    lake: { bronze: buildLayer(raw.lake?.bronze), silver: buildLayer(raw.lake?.silver) },
    warehouse: { table: warehouse?.table ?? tableName(raw.name), mode: warehouse?.mode ?? 'append' },
  }
}

/** What a JSON Schema cannot say. `folder` is the folder's name, `siblings` the stream folders beside it. */
export function checkContract(
  raw: RawContract,
  place: { readonly folder: string; readonly siblings: readonly string[] },
  report: ReportProblem,
): void {
  if (raw.name !== place.folder) report(['name'], `name must be the folder's name, ${place.folder}`)
  checkEventTime(raw, report)
  checkIngests(raw, report)
  checkChangeWaits(raw, report)
  checkTimes(raw, report)
  checkJoins(raw, place.siblings, report)
  const keyed = raw.key !== undefined || raw.ingest.some(isKeyedBySource)
  checkLookups(raw.refine.lookups ?? [], joinNames(raw), report)
  if (!keyed && raw.warehouse?.mode === 'upsert') {
    report(['warehouse', 'mode'], 'upsert keeps the latest row per key: the contract needs `key`')
  }
  if (!keyed && raw.refine.cleanup === 'compact') {
    report(['refine', 'cleanup'], 'compact keeps the latest record per key: the contract needs `key`')
  }
  if (raw.refine.cleanup === 'compact' && raw.refine.retention !== undefined) {
    report(['refine', 'retention'], 'a compacted topic has no retention: remove one of the two')
  }
}

/** A parked record is read again later, and by then the history of its key has moved on. */
function checkChangeWaits(raw: RawContract, report: ReportProblem): void {
  if (!raw.ingest.some(({ kind }) => kind === 'cdc')) return
  raw.refine.joins?.forEach(({ onMissing }, i) => {
    if (typeof onMissing !== 'object') return
    report(['refine', 'joins', i], 'a change stream cannot wait for a joined row yet: use null or dead-letter')
  })
  if (raw.refine.lookups)
    report(['refine', 'lookups'], 'a change stream cannot have lookups yet: their events may have to wait')
}

function buildLayer(layer: RawLayer | undefined): Contract['lake']['bronze'] {
  const retentionMs = durationOf(layer?.retention)
  return { format: 'parquet', ...(retentionMs === null ? {} : { retentionMs }) }
}

function buildPrivacy({ key, fields }: NonNullable<RawContract['privacy']>): Privacy {
  return { key, fields: fields.map(({ at, as, subject }) => ({ at, as, subject: subject ?? null })) }
}

function buildOnMissing(raw: RawOnMissing): OnMissing {
  if (typeof raw === 'string') return raw
  return { waitMs: durationOf(raw.wait) ?? 0, giveUp: raw.then ?? 'dead-letter' }
}

function checkEventTime({ eventTime }: RawContract, report: ReportProblem): void {
  if (!eventTime) return
  if (eventTime.format !== undefined && compileFormat(eventTime.format) === null) {
    report(['eventTime', 'format'], 'format needs yyyy, MM and dd, and may have HH mm ss S; other letters in quotes')
  }
  if (eventTime.zone === undefined) return
  if (!isTimeZone(eventTime.zone)) report(['eventTime', 'zone'], `zone ${eventTime.zone} is no IANA time zone`)
  if (eventTime.format === undefined) report(['eventTime', 'zone'], 'zone has no effect without `format`')
}

function checkTimes(raw: RawContract, report: ReportProblem): void {
  const retention = durationOf(raw.raw?.retention) ?? DEFAULT_RETENTION_MS
  const window = durationOf(raw.refine.dedupe?.window)
  if (retention === 0) report(['raw', 'retention'], 'retention must be longer than 0')
  checkLakeRetention(raw, retention, report)
  if (durationOf(raw.refine.retention) === 0) report(['refine', 'retention'], 'retention must be longer than 0')
  if (window !== null && window > retention) {
    report(['refine', 'dedupe', 'window'], 'the dedupe window must not be longer than raw.retention')
  }
}

/** What Kafka still has is never dropped from bronze: a replay could not tell the two apart. */
function checkLakeRetention(raw: RawContract, rawRetention: number, report: ReportProblem): void {
  const { bronze, silver } = raw.lake ?? {}
  if (durationOf(silver?.retention) === 0) report(['lake', 'silver', 'retention'], 'retention must be longer than 0')
  const kept = durationOf(bronze?.retention)
  if (kept !== null && kept < rawRetention) {
    report(['lake', 'bronze', 'retention'], 'bronze must be kept at least as long as raw.retention')
  }
}

function checkJoins(raw: RawContract, siblings: readonly string[], report: ReportProblem): void {
  const names = new Set<string>()
  raw.refine.joins?.forEach((join, i) => {
    const path = ['refine', 'joins', i]
    const as = join.as ?? join.stream
    if (names.has(as)) report(path, `two joins are called ${as}: give each its own \`as\``)
    names.add(as)
    if (typeof join.onMissing === 'object' && durationOf(join.onMissing.wait) === 0) {
      report([...path, 'onMissing', 'wait'], 'wait must be longer than 0')
    }
    if (join.history !== undefined && join.asOf === undefined) {
      report([...path, 'history'], 'history has no effect without `asOf: event-time`')
    }
    if (join.stream === raw.name) report([...path, 'stream'], 'a stream cannot join itself')
    else if (!siblings.includes(join.stream)) {
      report([...path, 'stream'], `there is no stream ${join.stream} beside this one`)
    }
  })
}

const joinNames = (raw: RawContract): string[] => (raw.refine.joins ?? []).map((join) => join.as ?? join.stream)

/** Null when there is none; the JSON Schema has checked its form. */
function durationOf(text: string | undefined): number | null {
  return text === undefined ? null : parseDuration(text)
}
