import { renderColumns } from '../table.ts'

/** How old the newest rows of a landing table are, against what the project allows. */
export type SourceAge = {
  readonly table: string
  readonly status: 'pass' | 'warn' | 'error'
  /** When the warehouse-sink last wrote rows of it; null: never. */
  readonly writtenAt: string | null
  readonly ageSeconds: number | null
  /** `1 day`; null where the project sets none. */
  readonly warnAfter: string | null
  readonly errorAfter: string | null
}

type Threshold = { readonly count: number | null; readonly period: string | null } | null
type Result = {
  readonly unique_id: string
  readonly status: SourceAge['status']
  readonly max_loaded_at: string
  readonly max_loaded_at_time_ago_in_s: number
  readonly criteria: { readonly warn_after: Threshold; readonly error_after: Threshold }
}

/** dbt's word for a table whose clock has no time. */
const NEVER = '0001-01-01'

/** @param text dbt's sources.json, schema version 3; a table that could not be asked is not in it */
export function sourceAges(text: string): SourceAge[] {
  const { results } = JSON.parse(text) as { results: readonly Result[] }
  return results.map(ageOf).sort((a, b) => (a.table < b.table ? -1 : 1))
}

function ageOf({ unique_id, status, max_loaded_at, max_loaded_at_time_ago_in_s, criteria }: Result): SourceAge {
  const written = !max_loaded_at.startsWith(NEVER)
  return {
    table: unique_id.split('.').at(-1)!,
    status,
    writtenAt: written ? max_loaded_at : null,
    ageSeconds: written ? Math.round(max_loaded_at_time_ago_in_s) : null,
    warnAfter: thresholdText(criteria.warn_after),
    errorAfter: thresholdText(criteria.error_after),
  }
}

function thresholdText(threshold: Threshold): string | null {
  if (threshold?.count == null || threshold.period === null) return null
  return `${threshold.count} ${threshold.period}${threshold.count === 1 ? '' : 's'}`
}

export function renderSourceAges(ages: readonly SourceAge[]): string {
  const header = ['table', 'status', 'last written', 'age', 'warns after', 'fails after']
  const rows = ages.map(({ table, status, writtenAt, ageSeconds, warnAfter, errorAfter }) => [
    table,
    status,
    writtenAt ?? 'never',
    ageSeconds === null ? '-' : ageText(ageSeconds),
    warnAfter ?? '-',
    errorAfter ?? '-',
  ])
  return renderColumns([header, ...rows])
}

function ageText(seconds: number): string {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}
