import { parseDuration } from '../core/duration.ts'
import { MeshError } from '../core/errors.ts'
import type { Layer } from '../core/topics.ts'
import { createSchemaCheck } from './contract-schema.ts'
import { parseContractYaml, type YamlPath } from './contract-yaml.ts'
import jobSchema from './job.schema.json' with { type: 'json' }
import { type Schedule, scheduleProblem } from './job-schedule.ts'

export type EngineName = 'dbt' | 'http' | 'command' | 'spark' | 'flink' | 'airflow'

export type JobInput = { readonly stream: string; readonly layer: Layer }

/** A job file with its defaults filled in. Durations are ms. */
export type JobDefinition = {
  readonly name: string
  readonly description: string
  readonly engine: EngineName
  readonly inputs: readonly JobInput[]
  readonly coalesce: { readonly quietMs: number; readonly maxWaitMs: number; readonly minIntervalMs: number }
  readonly concurrency: number
  readonly retries: { readonly attempts: number; readonly backoffMs: number; readonly maxBackoffMs: number }
  readonly timeoutMs: number
  readonly schedule: Schedule | null
  /** Candidate versions set off runs of their own. */
  readonly replays: boolean
  /** Engine flink with `mode: streaming`: one run that reads on until it is stopped. */
  readonly streaming: boolean
  /** The engine's own part, as it stands in the file. */
  readonly options: Readonly<Record<string, unknown>>
}

type RawJob = {
  readonly name: string
  readonly description?: string
  readonly engine: EngineName
  readonly inputs: readonly JobInput[]
  readonly coalesce?: { readonly quiet?: string; readonly maxWait?: string; readonly minInterval?: string }
  readonly concurrency?: number
  readonly retries?: { readonly attempts?: number; readonly backoff?: string; readonly maxBackoff?: string }
  readonly timeout?: string
  readonly schedule?: { readonly cron: string; readonly zone?: string }
  readonly replays?: boolean
} & Readonly<Partial<Record<EngineName, Readonly<Record<string, unknown>>>>>

export type JobFileOptions = {
  /** Shown in errors: `jobs/gold.yaml`. */
  readonly file: string
  /** The project's streams; null where they are not known (a service that has no folder). */
  readonly streams: readonly string[] | null
}

const problemsOf = createSchemaCheck(jobSchema, 'the job')
const ENGINES: readonly EngineName[] = ['dbt', 'http', 'command', 'spark', 'flink', 'airflow']
const NEEDS_PART: readonly EngineName[] = ['http', 'command', 'spark', 'flink', 'airflow']

/**
 * Reads a job file. @throws MeshError MESH_JOB_INVALID with every problem on a line of its own, each with `file:line`.
 */
export function parseJobFile(text: string, options: JobFileOptions): JobDefinition {
  const { file } = options
  const yaml = parseContractYaml(text, file)
  const syntax = yaml.problems.map(({ line, reason }) => ({ line: line ?? 1, reason }))
  if (syntax.length > 0) throw jobError(file, syntax)
  const structure = problemsOf(yaml.value).map(({ path, key, reason }) => ({ line: yaml.lineOf(path, key), reason }))
  if (structure.length > 0) throw jobError(file, structure)
  const raw = yaml.value as RawJob
  const meaning: { line: number; reason: string }[] = []
  checkJob(raw, options, (path, reason) => meaning.push({ line: yaml.lineOf(path), reason }))
  if (meaning.length > 0) throw jobError(file, meaning)
  return buildJob(raw)
}

function checkJob(raw: RawJob, options: JobFileOptions, report: (path: YamlPath, reason: string) => void): void {
  const base = options.file
    .split('/')
    .at(-1)!
    .replace(/\.yaml$/, '')
  if (raw.name !== base) report(['name'], `name is \`${raw.name}\`, but the file is \`${base}.yaml\``)
  for (const engine of ENGINES) {
    if (engine !== raw.engine && raw[engine] !== undefined) report([engine], `\`${engine}:\` is for engine ${engine}`)
  }
  if (NEEDS_PART.includes(raw.engine) && raw[raw.engine] === undefined) {
    report(['engine'], `engine ${raw.engine} needs the key \`${raw.engine}\``)
  }
  const seen = new Set<string>()
  for (const [i, { stream, layer }] of raw.inputs.entries()) {
    if (seen.has(`${layer}/${stream}`)) report(['inputs', i], `${layer} of ${stream} is named twice`)
    seen.add(`${layer}/${stream}`)
    if (options.streams !== null && !options.streams.includes(stream)) {
      report(['inputs', i, 'stream'], `there is no stream \`${stream}\`; there are: ${options.streams.join(', ')}`)
    }
  }
  if (raw.schedule) {
    const problem = scheduleProblem({ cron: raw.schedule.cron, zone: raw.schedule.zone ?? 'UTC' })
    if (problem !== null) report(['schedule'], `schedule: ${problem}`)
  }
  if (raw.engine === 'dbt' && (raw.concurrency ?? 1) > 1) {
    report(['concurrency'], 'concurrency is 1 for engine dbt: its runs write one warehouse')
  }
  if (raw.dbt?.['command'] === 'freshness' && raw.schedule === undefined) {
    report(
      ['dbt', 'command'],
      'command freshness needs a `schedule`: no commit event comes from a table that stands still',
    )
  }
  if (raw.engine === 'flink' && raw.flink !== undefined) checkFlink(raw, report)
  const { quiet, maxWait } = raw.coalesce ?? {}
  if (quiet && maxWait && ms(quiet) > ms(maxWait)) {
    report(['coalesce'], 'coalesce.quiet is longer than coalesce.maxWait')
  }
}

function checkFlink(raw: RawJob, report: (path: YamlPath, reason: string) => void): void {
  for (const [i, { layer }] of raw.inputs.entries()) {
    if (layer === 'silver' || layer === 'landing') continue
    // Commit events of refined and bronze carry raw offsets, those of silver and landing the refined topic's own.
    report(
      ['inputs', i, 'layer'],
      `layer is silver or landing for engine flink, whose commit events carry refined offsets`,
    )
  }
  if (new Set(raw.inputs.map(({ stream }) => stream)).size < raw.inputs.length) {
    report(['inputs'], 'engine flink reads a stream once: name silver or landing, not both')
  }
  if ((raw.concurrency ?? 1) > 1) report(['concurrency'], 'concurrency is 1 for engine flink: its runs write one sink')
  const { watermarks = {} } = raw.flink as FlinkPart
  const reads = raw.inputs.map(({ stream }) => stream)
  for (const [stream, { delay }] of Object.entries(watermarks)) {
    if (ms(delay) > MAX_DELAY_MS)
      report(['flink', 'watermarks', stream, 'delay'], 'Flink takes a delay of 999d at most')
    if (reads.includes(stream)) continue
    report(['flink', 'watermarks', stream], `the job does not read \`${stream}\`; its inputs are: ${reads.join(', ')}`)
  }
  if (streams(raw)) return checkStreaming(raw, report)
  if (Object.keys(watermarks).length > 0) {
    report(['flink', 'watermarks'], 'watermarks are for `mode: streaming`: in a batch no record is late')
  }
}

/** What says when a run begins or ends has no meaning for one that reads on. */
function checkStreaming(raw: RawJob, report: (path: YamlPath, reason: string) => void): void {
  for (const key of ['coalesce', 'schedule', 'timeout', 'replays'] as const) {
    if (raw[key] !== undefined) report([key], `\`${key}\` is for runs that end; \`mode: streaming\` reads on`)
  }
}

type FlinkPart = { readonly mode?: string; readonly watermarks?: Readonly<Record<string, { readonly delay: string }>> }

const MAX_DELAY_MS = 999 * 86_400_000

const streams = (raw: RawJob): boolean =>
  raw.engine === 'flink' && (raw.flink as FlinkPart | undefined)?.mode === 'streaming'

function buildJob(raw: RawJob): JobDefinition {
  const quietMs = ms(raw.coalesce?.quiet ?? '500ms')
  return {
    name: raw.name,
    description: raw.description ?? '',
    engine: raw.engine,
    inputs: raw.inputs,
    coalesce: {
      quietMs,
      maxWaitMs: raw.coalesce?.maxWait ? ms(raw.coalesce.maxWait) : Math.max(10_000, quietMs),
      minIntervalMs: ms(raw.coalesce?.minInterval ?? '0ms'),
    },
    concurrency: raw.concurrency ?? 1,
    retries: {
      attempts: raw.retries?.attempts ?? 3,
      backoffMs: ms(raw.retries?.backoff ?? '5s'),
      maxBackoffMs: ms(raw.retries?.maxBackoff ?? '5m'),
    },
    timeoutMs: ms(raw.timeout ?? '1h'),
    schedule: raw.schedule ? { cron: raw.schedule.cron, zone: raw.schedule.zone ?? 'UTC' } : null,
    replays: raw.replays ?? false,
    streaming: streams(raw),
    options: raw[raw.engine] ?? {},
  }
}

/** The schema has checked the form. */
const ms = (text: string): number => parseDuration(text)!

function jobError(file: string, problems: readonly { line: number; reason: string }[]): MeshError {
  const sorted = problems.toSorted((a, b) => a.line - b.line)
  const message = sorted.map(({ line, reason }) => `${file}:${line}: ${reason}`).join('\n')
  return new MeshError('MESH_JOB_INVALID', message, { place: `${file}:${sorted[0]!.line}` })
}
