import { describe, expect, it } from 'vitest'
import {
  afterRestart,
  afterRunning,
  type ConnectorStatus,
  causeOf,
  nextAction,
  restartAt,
} from '../../../../src/core/sources/connector-actions.ts'

const CONFIG = { 'connector.class': 'X', a: '1' }
const NONE = { count: 0, since: 0 }
const running = (config: Readonly<Record<string, string>> = { ...CONFIG, name: 'mesh-shop' }): ConnectorStatus => ({
  config,
  state: 'RUNNING',
  tasks: [{ id: 0, state: 'RUNNING', trace: null }],
})
const kind = (
  actual: ConnectorStatus | null,
  intent: 'running' | 'paused' | 'deleted' = 'running',
  failures = NONE,
  now = 1_000_000,
): string => nextAction({ config: CONFIG, intent }, actual, failures, now).kind

describe('the next step of a connector', () => {
  it('creates what is not there, unless it is to be paused', () => {
    expect([kind(null), kind(null, 'paused')]).toEqual(['put', 'none'])
  })

  it('leaves alone what is as asked, whatever the order of keys', () => {
    expect(kind(running({ a: '1', name: 'mesh-shop', 'connector.class': 'X' }))).toBe('none')
  })

  it.each([{ a: '2', 'connector.class': 'X' }, { 'connector.class': 'X' }, { ...CONFIG, b: '3' }])(
    'changes a configuration that differs: %j',
    (config) => expect(kind(running(config))).toBe('put'),
  )

  it('pauses and resumes by the intent', () => {
    const paused = { ...running(), state: 'PAUSED' }
    expect([kind(running(), 'paused'), kind(paused, 'paused'), kind(paused)]).toEqual(['pause', 'none', 'resume'])
    expect(kind({ ...running(), state: 'STOPPED' })).toBe('resume')
  })

  it('starts a failed task again at once, then after pauses that grow to five minutes', () => {
    const failed = { ...running(), tasks: [{ id: 0, state: 'FAILED', trace: 'boom' }] }
    expect(kind(failed)).toBe('restart')
    let failures = NONE
    const pauses: number[] = []
    for (let i = 0; i < 10; i++) {
      failures = afterRestart(failures, 1000)
      pauses.push(restartAt(failures) - 1000)
      expect(kind(failed, 'running', failures, restartAt(failures) - 1)).toBe('none')
      expect(kind(failed, 'running', failures, restartAt(failures))).toBe('restart')
    }
    expect(pauses).toEqual([2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000])
    expect(afterRunning(failures, 2000)).toBe(failures)
    expect(afterRunning(failures, 61_000)).toEqual(NONE)
  })
})

describe('the cause of a failed task', () => {
  it('is the deepest one, in a line', () => {
    const trace = `org.apache.kafka.connect.errors.ConnectException: outer
\tat x.Y(Z.java:1)
Caused by: io.debezium.DebeziumException: middle
\tat x.Y(Z.java:2)
Caused by: org.postgresql.util.PSQLException: FATAL: password authentication failed
\t... 9 more`
    expect(causeOf(trace)).toBe('FATAL: password authentication failed')
  })

  it('is the first line where there is no other, and something where there is nothing', () => {
    expect(causeOf('java.lang.OutOfMemoryError: heap')).toBe('heap')
    expect(causeOf(null)).toBe('no reason given')
  })
})
