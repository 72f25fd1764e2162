import { describe, expect, test } from 'vitest'
import { parseJobFile } from '../../../src/schema/job-file.ts'
import { nextScheduled } from '../../../src/schema/job-schedule.ts'

const GOOD = `name: gold
engine: dbt
inputs:
  - { stream: flights, layer: landing }
`
const read = (text: string, streams: readonly string[] | null = ['flights']) =>
  parseJobFile(text, { file: 'jobs/gold.yaml', streams })

test('what a job file leaves out has a default', () => {
  expect(read(GOOD)).toMatchObject({
    coalesce: { quietMs: 500, maxWaitMs: 10_000, minIntervalMs: 0 },
    concurrency: 1,
    retries: { attempts: 3, backoffMs: 5000, maxBackoffMs: 300_000 },
    timeoutMs: 3_600_000,
    schedule: null,
    replays: false,
    streaming: false,
    options: {},
  })
})

describe('a bad job file is refused with file, line and the way out', () => {
  test.for([
    ['an unknown key', `${GOOD}descripton: x\n`, 5, /unknown key `descripton`: did you mean `description`\?/],
    ['a key of the engine that nobody knows', `${GOOD}dbt: { projet: x }\n`, 5, /did you mean `project`/],
    ['an unknown engine', GOOD.replace('dbt', 'dbx'), 2, /engine must be dbt or http or command/],
    ['an unknown layer', GOOD.replace('landing', 'gold'), 4, /layer must be refined or bronze or silver or landing/],
    [
      'a stream that is not there',
      GOOD.replace('flights', 'flihgts'),
      4,
      /there is no stream `flihgts`; there are: flights/,
    ],
    ["a name that is not the file's", GOOD.replace('name: gold', 'name: golden'), 1, /but the file is `gold.yaml`/],
    ['a duration nobody can read', `${GOOD}timeout: soon\n`, 5, /timeout must look like a duration such as 500ms/],
    ['a cron nobody can read', `${GOOD}schedule: { cron: '61 * * * *' }\n`, 5, /schedule: /],
    ['a zone nobody knows', `${GOOD}schedule: { cron: '0 4 * * *', zone: Mars/Olympus }\n`, 5, /schedule: .*Mars/],
    ['options of another engine', `${GOOD}http: { url: 'http://x' }\n`, 5, /`http:` is for engine http/],
    ['an engine without its part', GOOD.replace('dbt', 'command'), 2, /engine command needs the key `command`/],
    ['a Spark job without its program', `${GOOD.replace('dbt', 'spark')}spark: { args: [x] }\n`, 5, /app/],
    [
      'a Spark program that is none',
      `${GOOD.replace('dbt', 'spark')}spark: { app: jobs/x.sql }\n`,
      5,
      /must look like a .py or .jar/,
    ],
    ['a Flink job without its script', `${GOOD.replace('dbt', 'flink')}flink: { vars: { a: x } }\n`, 5, /sql/],
    ['a Flink script that is none', `${GOOD.replace('dbt', 'flink')}flink: { sql: a.py }\n`, 5, /a .sql script/],
    [
      'a Flink job over raw offsets',
      `${GOOD.replace('dbt', 'flink').replace('landing', 'bronze')}flink: { sql: a.sql }\n`,
      4,
      /silver or landing for engine flink/,
    ],
    [
      'two Flink runs at a time',
      `${GOOD.replace('dbt', 'flink')}concurrency: 2\nflink: { sql: a.sql }\n`,
      5,
      /concurrency is 1 for engine flink/,
    ],
    [
      'a Flink mode that there is not',
      `${GOOD.replace('dbt', 'flink')}flink: { sql: a.sql, mode: stream }\n`,
      5,
      /flink.mode must be batch or streaming/,
    ],
    [
      'a schedule for a job that streams',
      `${GOOD.replace('dbt', 'flink')}schedule: { cron: '0 4 * * *' }\nflink: { sql: a.sql, mode: streaming }\n`,
      5,
      /`schedule` is for runs that end; `mode: streaming` reads on/,
    ],
    [
      'watermarks in a batch',
      `${GOOD.replace('dbt', 'flink')}flink:\n  sql: a.sql\n  watermarks: { flights: { column: at, delay: 1h } }\n`,
      7,
      /watermarks are for `mode: streaming`/,
    ],
    [
      'a watermark of a stream that is not read',
      `${GOOD.replace('dbt', 'flink')}flink:\n  sql: a.sql\n  mode: streaming\n  watermarks:\n    boats: { column: at, delay: 1h }\n`,
      9,
      /does not read `boats`; its inputs are: flights/,
    ],
    [
      'a watermark that is later than Flink can say',
      `${GOOD.replace('dbt', 'flink')}flink:\n  sql: a.sql\n  mode: streaming\n  watermarks:\n    flights: { column: at, delay: 1000d }\n`,
      9,
      /999d/,
    ],
    [
      'a watermark without its delay',
      `${GOOD.replace('dbt', 'flink')}flink:\n  sql: a.sql\n  mode: streaming\n  watermarks:\n    flights: { column: at }\n`,
      9,
      /delay/,
    ],
    ['a key of airflow that nobody knows', `${GOOD.replace('dbt', 'airflow')}airflow: { dagg: x }\n`, 5, /`dag`/],
    ['the same input twice', `${GOOD}  - { stream: flights, layer: landing }\n`, 5, /named twice/],
    ['two dbt runs at a time', `${GOOD}concurrency: 2\n`, 5, /concurrency is 1 for engine dbt/],
    ['freshness that nothing asks for', `${GOOD}dbt: { command: freshness }\n`, 5, /freshness needs a `schedule`/],
    ['quiet longer than the longest wait', `${GOOD}coalesce: { quiet: 1m, maxWait: 1s }\n`, 5, /longer than/],
    ['broken YAML', `${GOOD}inputs: [\n`, 5, /jobs\/gold.yaml:/],
  ] as const)('%s', ([, text, line, reason]) => {
    expect(() => read(text)).toThrow(
      expect.objectContaining({
        code: 'MESH_JOB_INVALID',
        place: `jobs/gold.yaml:${line}`,
        message: expect.stringMatching(reason),
      }),
    )
  })

  test('every problem is told at once', () => {
    const text = GOOD.replace('engine: dbt', 'engine: dbx').replace('landing', 'gold')
    expect(() => read(text)).toThrow(/gold.yaml:2: .*\njobs\/gold.yaml:4: /)
  })
})

test('a schedule is read in its own zone', () => {
  const winter = Date.parse('2026-01-10T00:00:00Z')
  expect(nextScheduled({ cron: '0 4 * * *', zone: 'Europe/Berlin' }, winter)).toBe(Date.parse('2026-01-10T03:00:00Z'))
  expect(nextScheduled({ cron: '0 4 * * *', zone: 'UTC' }, winter)).toBe(Date.parse('2026-01-10T04:00:00Z'))
})
