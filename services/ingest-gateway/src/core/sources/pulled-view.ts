import type { SourceStatus } from '../source-status.ts'
import type { SourceReport } from './source-types.ts'

/**
 * The report of a source that the gateway reads itself, out of the states of its readers in this gateway. One that fails stands for all;
 * where another gateway leads, this one knows no more than that it waits.
 */
export function withReaders(report: SourceReport, statuses: Readonly<Record<string, SourceStatus>>): SourceReport {
  const own = Object.entries(statuses).filter(([label]) => label.startsWith(`${report.source}/`))
  if (own.length === 0) return report
  const problems = own.flatMap(([, { error }]) => (error ? [error] : []))
  const states = own.map(([, { state }]) => state)
  const state = states.includes('failing') ? 'failed' : states.includes('running') ? 'running' : 'waiting'
  return { ...report, state, problems: [...report.problems, ...problems] }
}
