import { type Decision, isApplied, type Moment, movedStreams, pendingOf, plan } from './planner.ts'

/**
 * What a job does next that streams. Its run begins with the first input, from the start offsets of its vector, and there is no other
 * one until it is begun anew: by hand, or because the live version moved. Commit events set off nothing while it reads on.
 */
export function decideStream(moment: Moment): Decision {
  const { latest, request } = moment
  const idle: Decision = { kind: 'wait', until: null }
  if (!isApplied(moment)) return idle
  if (request) return plan(moment, { trigger: 'manual', full: request.full, occasion: request.at })
  if (latest?.streaming === undefined) {
    return pendingOf(moment, 'live').length > 0 ? plan(moment, { trigger: 'commit', full: false, occasion: '' }) : idle
  }
  if (movedStreams(moment).length === 0) return idle
  // What a person stopped stays so.
  const waits = latest.state === 'stopped' && latest.streaming.stop?.reason !== 'cutover'
  return waits ? idle : plan(moment, { trigger: 'cutover', full: true, occasion: '' })
}
