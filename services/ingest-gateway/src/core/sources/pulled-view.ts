import type { SourceStatus } from '../source-status.ts'
import type { SourceReport, SourceState } from './source-types.ts'

/**
 * The report of a source that the gateway reads itself, out of the states of its readers in this gateway. One that fails stands for all;
 * where another gateway leads, this one knows no more than that it waits.
 */
export function withReaders(report: SourceReport, statuses: Readonly<Record<string, SourceStatus>>): SourceReport {
  const own = Object.entries(statuses).filter(([label]) => label.startsWith(`${report.source}/`))
  if (own.length === 0) return report
  const problems = own.flatMap(([, { error }]) => (error ? [error] : []))
  const states = own.map(([, { state }]) => state)
  return { ...report, state: stateOf(states), problems: [...report.problems, ...problems] }
}

function stateOf(states: readonly SourceStatus['state'][]): SourceState {
  if (states.includes('failing')) return 'failed'
  // What an operator asks holds for all readers of a source.
  return states.find((state) => state === 'paused' || state === 'deleted' || state === 'running') ?? 'waiting'
}
