import { mkdirSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { describeError } from '@mesh/shared/core/errors'
import { sweepAbandoned } from '../setup/sweep.ts'
import { CEILINGS } from './ceilings.ts'
import { benchClients, VALUE_BYTES } from './clients.ts'
import { renderClients } from './clients-table.ts'
import { readProfile, renderProfile } from './cpu-profile.ts'
import { measureFreshness, renderFreshness } from './freshness.ts'
import { measureLatency, renderLatency } from './latency.ts'
import { type RunFacts, renderMachine, renderRun } from './machine.ts'
import { type BenchOptions, parseOptions, USAGE } from './options.ts'
import { flightLines, meanBytes, writePayloadFile } from './payload.ts'
import { type RepeatResult, runRepeat } from './repeat.ts'
import { benchSources, renderSources } from './sources.ts'
import { type Measurement, renderTable } from './table.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const RUNS = join(ROOT, '.mesh', 'bench')

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

function options(): BenchOptions {
  try {
    return parseOptions(process.argv.slice(2))
  } catch (error) {
    say(`${describeError(error)}\n${USAGE}`)
    process.exit(2)
  }
}

async function main(options: BenchOptions, signal: AbortSignal): Promise<void> {
  const { freshness, sources, records, repeats, jsonFile } = options
  if (freshness !== null) {
    console.log(renderFreshness(await measureFreshness(freshness, say)))
    return
  }
  if (sources) {
    const measured = await benchSources({ changes: records, repeats, say })
    console.log(renderSources(measured))
    if (jsonFile !== null) await writeFile(jsonFile, `${JSON.stringify(measured, null, 2)}\n`)
    return
  }
  mkdirSync(RUNS, { recursive: true })
  await sweepAbandoned(RUNS)
  const folder = join(RUNS, String(process.pid))
  mkdirSync(folder)
  try {
    const measure = options.latency !== null ? compareLatencies : options.clients ? compareClients : measureHops
    await measure(options, folder, signal)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function compareLatencies(
  { latency, jsonFile }: BenchOptions,
  stateDir: string,
  signal: AbortSignal,
): Promise<void> {
  const loadBefore = loadavg()[0] ?? 0
  const { machine, measured } = await measureLatency({ stateDir, seconds: latency!, signal, say })
  console.log(`${renderMachine(machine, loadBefore)}\n\n${renderLatency(measured)}`)
  if (jsonFile !== null) await writeFile(jsonFile, `${JSON.stringify({ machine, loadBefore, measured }, null, 2)}\n`)
}

async function compareClients(
  { records, repeats, jsonFile }: BenchOptions,
  stateDir: string,
  signal: AbortSignal,
): Promise<void> {
  const loadBefore = loadavg()[0] ?? 0
  const { machine, measurements } = await benchClients({
    stateDir,
    records,
    rounds: repeats,
    signal,
    onMeasured: ({ role, client, perSecond, perCpuSecond }) =>
      say(`${role}, ${client}: ${Math.round(perSecond)} records/s, ${Math.round(perCpuSecond ?? 0)} per CPU second`),
  })
  const run = `${repeats} rounds of ${records.toLocaleString('en-US')} records with values of ${VALUE_BYTES} bytes`
  console.log(`${renderMachine(machine, loadBefore)}\n${run}.\n\n${renderClients(measurements)}`)
  if (jsonFile !== null)
    await writeFile(jsonFile, `${JSON.stringify({ machine, records, loadBefore, measurements }, null, 2)}\n`)
}

async function measureHops(
  { records, repeats, jsonFile, profile }: BenchOptions,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const loadBefore = loadavg()[0] ?? 0
  const lines = await flightLines(ROOT, records)
  const payloadFile = join(folder, 'payload.ndjson')
  await writePayloadFile(payloadFile, lines)
  const repeat = (title: string, profileDir: string | null): Promise<RepeatResult> => {
    say(`== ${title}`)
    return runRepeat({
      stateDir: folder,
      records,
      lines,
      payloadFile,
      profileDir,
      signal,
      onMeasured: ({ hop, unit, perSecond }) => say(`${hop}: ${Math.round(perSecond)} ${unit}/s`),
    })
  }
  const results: RepeatResult[] = []
  for (let i = 1; i <= repeats; i++) results.push(await repeat(`repeat ${i} of ${repeats}`, null))
  await report(results, { records, repeats, recordBytes: meanBytes(lines), loadBefore }, jsonFile)
  if (profile) {
    const profileDir = join(folder, 'profiles')
    await reportProfiles(await repeat('one more repeat, with profiles', profileDir), profileDir)
  }
}

async function report(results: readonly RepeatResult[], run: RunFacts, jsonFile: string | null): Promise<void> {
  const machine = results[0]!.machine
  const measurements: Measurement[] = results.flatMap((result) => result.measurements)
  console.log(`${renderMachine(machine, run.loadBefore)}\n${renderRun(run)}\n\n${renderTable(measurements, CEILINGS)}`)
  if (jsonFile === null) return
  await writeFile(
    jsonFile,
    `${JSON.stringify({ machine, ...run, repeatsOf: results.map((r) => r.measurements) }, null, 2)}\n`,
  )
}

async function reportProfiles(result: RepeatResult, folder: string): Promise<void> {
  console.log('\n## Where the time goes')
  for (const [hop, pid] of result.pids) {
    const profile = await readProfile(folder, pid)
    if (profile) console.log(`\n${renderProfile(hop, profile)}`)
  }
}

const abort = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(name, () => {
    say(`${name}: stopping`)
    process.exitCode = 130
    abort.abort()
  })
}
try {
  await main(options(), abort.signal)
} catch (error) {
  say(abort.signal.aborted ? 'stopped' : describeError(error))
  process.exitCode ||= 1
}
