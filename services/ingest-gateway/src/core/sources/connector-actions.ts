import type { ConnectorConfig } from './connector-config.ts'
import type { Intent } from './source-types.ts'

/** A connector as Connect shows it. */
export type ConnectorStatus = {
  readonly config: ConnectorConfig
  readonly state: string
  readonly tasks: readonly { readonly id: number; readonly state: string; readonly trace: string | null }[]
}

export type Failures = {
  readonly count: number
  /** Epoch ms of the last restart. */
  readonly since: number
}

export type ConnectorAction =
  | { readonly kind: 'put'; readonly config: ConnectorConfig }
  | { readonly kind: 'pause' | 'resume' | 'restart' | 'none' }

const FIRST_PAUSE_MS = 2000
const LONGEST_PAUSE_MS = 300_000
/** A connector that ran this long after a restart fails anew from the first pause. */
const SETTLED_MS = 60_000

/** The next step towards what is wanted; one at a time, so that each is seen to work before the next. */
export function nextAction(
  wanted: { readonly config: ConnectorConfig; readonly intent: Intent },
  actual: ConnectorStatus | null,
  failures: Failures,
  now: number,
): ConnectorAction {
  if (actual === null) return { kind: wanted.intent === 'running' ? 'put' : 'none', config: wanted.config }
  if (!isSameConfig(wanted.config, actual.config)) return { kind: 'put', config: wanted.config }
  const halted = actual.state === 'PAUSED' || actual.state === 'STOPPED'
  if (wanted.intent === 'paused') return { kind: halted ? 'none' : 'pause' }
  if (halted) return { kind: 'resume' }
  return { kind: isFailed(actual) && now >= restartAt(failures) ? 'restart' : 'none' }
}

export function isFailed({ state, tasks }: ConnectorStatus): boolean {
  return state === 'FAILED' || tasks.some((task) => task.state === 'FAILED')
}

export function isRunning({ state, tasks }: ConnectorStatus): boolean {
  return state === 'RUNNING' && tasks.length > 0 && tasks.every((task) => task.state === 'RUNNING')
}

/** When a failed task may be started again: at once, then after 2 s, 4 s, … 5 min. */
export function restartAt({ count, since }: Failures): number {
  return count === 0 ? 0 : since + Math.min(FIRST_PAUSE_MS * 2 ** (count - 1), LONGEST_PAUSE_MS)
}

export function afterRestart(failures: Failures, now: number): Failures {
  return { count: failures.count + 1, since: now }
}

/** A connector that has settled forgets its failures. */
export function afterRunning(failures: Failures, now: number): Failures {
  return now - failures.since >= SETTLED_MS ? { count: 0, since: 0 } : failures
}

/** Connect adds the name. */
function isSameConfig(wanted: ConnectorConfig, actual: ConnectorConfig): boolean {
  const { name: _name, ...given } = actual
  const keys = Object.keys(given)
  return keys.length === Object.keys(wanted).length && keys.every((key) => given[key] === wanted[key])
}

const CAUSE = /^Caused by: (?:[\w.$]+(?:Exception|Error): )?(.+)$/
const FIRST = /^[\w.$]+(?:Exception|Error): (.+)$/

/** The deepest cause of a Java stack trace in one line, at most 300 characters. */
export function causeOf(trace: string | null): string {
  const lines = (trace ?? '').split('\n')
  const causes = lines.flatMap((line) => CAUSE.exec(line)?.[1] ?? [])
  const text = causes.at(-1) ?? FIRST.exec(lines[0] ?? '')?.[1] ?? lines[0] ?? ''
  return text.trim().slice(0, 300) || 'no reason given'
}
