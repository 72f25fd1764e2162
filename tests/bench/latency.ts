import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bytesText, header, type RecordToSend } from '@mesh/shared/core/record'
import { rawTopic, refinedTopic } from '@mesh/shared/core/topics'
import type { Follower } from '@mesh/shared/kafka/port'
import { freePort } from '@mesh/shared/testing/free-port'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import { type BenchMesh, startBenchMesh } from './bench-mesh.ts'
import { type BenchStream, EXACTLY_ONCE_STREAM, STREAM } from './bench-streams.ts'
import type { MachineFacts } from './machine.ts'
import { flightLines } from './payload.ts'
import { quantile } from './table.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const PER_SECOND = 2000
/** Events are due this often, whatever became of those before. */
const BURST_MS = 10
const PARTITIONS = 6
const WARM_UP_MS = 5000
/** How long after the last send an event may still come. */
const SETTLE_MS = 180_000
const INTENDED_AT = 'bench-intended-at'

export type Latency = {
  readonly guarantee: 'at-least-once' | 'exactly-once'
  /** ms of MESH_ENRICHER_TRANSACTION_INTERVAL; null where there are no transactions. */
  readonly interval: number | null
  readonly events: number
  /** ms from the time that an event was due to be sent until a reader of committed records had it, raw and refined. */
  readonly raw: { readonly p50: number; readonly p99: number }
  readonly refined: { readonly p50: number; readonly p99: number }
  /** ms between the two, event by event. */
  readonly added: { readonly p50: number; readonly p99: number }
  readonly load: number
}

const SETTINGS: readonly Pick<Latency, 'guarantee' | 'interval'>[] = [
  { guarantee: 'at-least-once', interval: null },
  ...[20, 50, 100, 250, 500].map((interval) => ({ guarantee: 'exactly-once', interval }) as const),
]

export type LatencySetup = {
  readonly stateDir: string
  /** Of each setting, after its warm-up. */
  readonly seconds: number
  readonly signal: AbortSignal
  readonly say: (text: string) => void
}

/** One broker, one enricher process after the other, one for each setting. */
export async function measureLatency({
  stateDir,
  seconds,
  signal,
  say,
}: LatencySetup): Promise<{ machine: MachineFacts; measured: Latency[] }> {
  const mesh = await startBenchMesh({ stateDir, records: PER_SECOND * seconds, profileDir: null, signal })
  try {
    await mesh.start('replayer')
    await mesh.apply(EXACTLY_ONCE_STREAM)
    await mesh.stop('replayer')
    const lines = await flightLines(ROOT, PER_SECOND)
    const measured: Latency[] = []
    for (const [i, setting] of SETTINGS.entries()) {
      const stop = await startEnricher(mesh, { ...setting, stateDir: join(stateDir, `enricher-${i}`) })
      try {
        const latency = await measureSetting(mesh, setting, { run: String(i), seconds, lines })
        measured.push(latency)
        say(`${setting.guarantee} ${setting.interval ?? ''}: added p50 ${latency.added.p50.toFixed(0)} ms`)
      } finally {
        await stop()
      }
    }
    return { machine: mesh.machine, measured }
  } finally {
    await mesh.close()
  }
}

/** An enricher of the mesh with an interval of its own; resolves when it is ready. The returned function ends it. */
async function startEnricher(
  mesh: BenchMesh,
  { interval, stateDir }: { interval: number | null; stateDir: string },
): Promise<() => Promise<void>> {
  const port = await freePort()
  const child = spawn(process.execPath, [join(ROOT, 'services', 'enricher', 'src', 'main.ts')], {
    env: {
      ...process.env,
      ...mesh.environment,
      MESH_STATE_DIR: stateDir,
      MESH_HTTP_PORT: String(port),
      MESH_LOG_LEVEL: 'error',
      ...(interval === null ? {} : { MESH_ENRICHER_TRANSACTION_INTERVAL: `${interval}ms` }),
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const ended = once(child, 'exit')
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    await ended
  }
  try {
    await waitFor(
      async () => {
        mesh.tools.signal.throwIfAborted()
        if (child.exitCode !== null) throw new Error(`the enricher ended with ${child.exitCode}`)
        const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null)
        return answer?.ok ? true : null
      },
      { what: 'the enricher to be ready', timeoutMs: 120_000, everyMs: 100 },
    )
  } catch (error) {
    await stop()
    throw error
  }
  return stop
}

async function measureSetting(
  mesh: BenchMesh,
  { guarantee, interval }: Pick<Latency, 'guarantee' | 'interval'>,
  { run, seconds, lines }: { run: string; seconds: number; lines: readonly string[] },
): Promise<Latency> {
  const stream: BenchStream = guarantee === 'exactly-once' ? EXACTLY_ONCE_STREAM : STREAM
  const [raw, refined] = await Promise.all([watch(mesh, rawTopic(stream)), watch(mesh, refinedTopic(stream, 1))])
  try {
    const { from, sent } = await sendOpenLoop(mesh, rawTopic(stream), { run, seconds, lines })
    await waitFor(async () => (refined.seen.size >= sent && raw.seen.size >= sent ? true : null), {
      what: `${sent} refined events`,
      timeoutMs: SETTLE_MS,
      everyMs: 50,
      progress: () => `${raw.seen.size} raw, ${refined.seen.size} refined`,
    })
    const [own, whole, added]: [number[], number[], number[]] = [[], [], []]
    for (const [id, at] of refined.seen) {
      const arrived = raw.seen.get(id)!
      if (at.intended < from) continue
      own.push(arrived.at - at.intended)
      whole.push(at.at - at.intended)
      added.push(at.at - arrived.at)
    }
    const both = (values: number[]): { p50: number; p99: number } => ({
      p50: quantile(values, 0.5),
      p99: quantile(values, 0.99),
    })
    return {
      guarantee,
      interval,
      events: whole.length,
      raw: both(own),
      refined: both(whole),
      added: both(added),
      load: loadavg()[0] ?? 0,
    }
  } finally {
    await Promise.all([raw.follower.stop(), refined.follower.stop()])
  }
}

type Seen = { readonly intended: number; readonly at: number }

/** Notes when each event is first seen on a topic, from its end on. */
async function watch(mesh: BenchMesh, topic: string): Promise<{ seen: Map<string, Seen>; follower: Follower }> {
  const seen = new Map<string, Seen>()
  const follower = await mesh.kafka.follow(topic, {
    from: 'end',
    onBatch({ records }) {
      const at = performance.now()
      for (const { headers } of records) {
        const text = headers.find(({ name }) => name === INTENDED_AT)?.value
        if (!text) continue
        const [id = '', intended] = bytesText(text).split(' ')
        if (!seen.has(id)) seen.set(id, { intended: Number(intended), at })
      }
    },
    onFatal(error) {
      throw error
    },
  })
  await follower.caughtUp
  return { seen, follower }
}

/** Sends what is due at each tick of a fixed clock and waits for no answer; a late tick sends all that was due meanwhile. */
async function sendOpenLoop(
  mesh: BenchMesh,
  topic: string,
  { run, seconds, lines }: { run: string; seconds: number; lines: readonly string[] },
): Promise<{ from: number; sent: number }> {
  const producer = await mesh.kafka.producer()
  const startedAt = performance.now()
  const total = Math.round((WARM_UP_MS / 1000 + seconds) * PER_SECOND)
  const sends: Promise<unknown>[] = []
  for (let sent = 0; sent < total; ) {
    mesh.tools.signal.throwIfAborted()
    const due = Math.min(total, Math.floor(((performance.now() - startedAt) / 1000) * PER_SECOND))
    const records: RecordToSend[] = []
    for (; sent < due; sent++) {
      const id = `${run}-${sent}`
      const intended = startedAt + (sent / PER_SECOND) * 1000
      records.push({
        partition: sent % PARTITIONS,
        key: Buffer.from(id),
        value: Buffer.from(lines[sent % lines.length]!),
        headers: [header('ce_id', id), header(INTENDED_AT, `${id} ${intended}`)],
      })
    }
    if (records.length > 0) sends.push(producer.send(topic, records))
    await sleep(BURST_MS)
  }
  await Promise.all(sends)
  await producer.close()
  return { from: startedAt + WARM_UP_MS, sent: total }
}

export function renderLatency(measured: readonly Latency[]): string {
  const ms = ({ p50, p99 }: { p50: number; p99: number }): string => `${p50.toFixed(0)} | ${p99.toFixed(0)}`
  return [
    `${PER_SECOND.toLocaleString('en-US')} events/s over ${PARTITIONS} partitions, sent by the clock. ms from the time an event was due to be sent.`,
    '',
    '| guarantee | transaction interval | events | raw p50 | p99 | refined p50 | p99 | added p50 | p99 | load |',
    '|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
    ...measured.map(
      ({ guarantee, interval, events, raw, refined, added, load }) =>
        `| ${guarantee} | ${interval === null ? '' : `${interval} ms`} | ${events.toLocaleString('en-US')} | ${ms(raw)} | ${ms(refined)} | ${ms(added)} | ${load.toFixed(1)} |`,
    ),
  ].join('\n')
}
