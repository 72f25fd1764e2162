import type { ReplayJob } from '@mesh/shared/core/replay-api'
import { bronzeGroup, enricherGroup, landingGroup, rawTopic, refinedTopic, silverGroup } from '@mesh/shared/core/topics'
import { postEvents } from '../../packages/cli/src/gateway-client.ts'
import { callJson } from '../../packages/cli/src/http-json.ts'
import { waitForGateway } from '../../packages/cli/src/streams/wait-for-gateway.ts'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import type { BenchMesh } from './bench-mesh.ts'
import { EXACTLY_ONCE_STREAM, STREAM } from './bench-streams.ts'
import { brokerMeter, HOPS } from './ceilings.ts'
import { type DrainSample, drainRate } from './drain-rate.ts'
import type { Measurement } from './table.ts'

const EVENTS_PER_REQUEST = 1000
const REQUESTS_IN_FLIGHT = 4
const HOP_TIMEOUT_MS = 600_000
const SAMPLE_MS = 100

/** Posts every line as NDJSON. @throws Error when the gateway did not accept all of them. */
export async function gatewayHop(mesh: BenchMesh, lines: readonly string[]): Promise<Measurement> {
  await waitForGateway(mesh.gateway.url, [STREAM])
  const bodies: string[] = []
  for (let at = 0; at < lines.length; at += EVENTS_PER_REQUEST) {
    bodies.push(`${lines.slice(at, at + EVENTS_PER_REQUEST).join('\n')}\n`)
  }
  let next = 0
  let accepted = 0
  async function sender(): Promise<void> {
    while (next < bodies.length && !mesh.tools.signal.aborted) {
      const i = next++
      const { receipts } = await postEvents(mesh.gateway, STREAM, bodies[i]!, {
        contentType: 'application/x-ndjson',
        idempotencyKey: `bench-${i}`,
      })
      accepted += receipts.filter(({ status }) => status === 'accepted').length
    }
  }
  const broker = await brokerMeter(mesh)
  const before = await mesh.usage('ingest-gateway')
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: REQUESTS_IN_FLIGHT }, sender))
  const seconds = (performance.now() - startedAt) / 1000
  const after = await mesh.usage('ingest-gateway')
  if (accepted !== lines.length) throw new Error(`the gateway accepted ${accepted} of ${lines.length} events`)
  return {
    hop: HOPS.gateway,
    unit: 'events',
    perSecond: accepted / seconds,
    cpuPerMillion: (((after?.cpuSeconds ?? 0) - (before?.cpuSeconds ?? 0)) / accepted) * 1e6,
    brokerCpuPerMillion: await broker(accepted),
    peakMb: after?.peakMb ?? null,
  }
}

type Drain = Pick<Measurement, 'hop' | 'unit'> & {
  readonly service: string
  readonly group: string
  readonly topic: string
  /** Records that may wait for a flush interval at the end of the backlog. */
  readonly tail: number
}

/** The services that work off a topic, in the order in which their backlogs come to be. */
export function drains(
  mesh: BenchMesh,
  records: number,
): { bronze: Drain; enricher: Drain; exactlyOnce: Drain; silver: Drain; landing: Drain } {
  const raw = rawTopic(STREAM)
  const refined = refinedTopic(STREAM, 1)
  const lake = { service: 'lake-sink', unit: 'rows', tail: Math.ceil(records / 4) } as const
  const landing = { service: 'warehouse-sink', unit: 'rows', tail: mesh.flush.warehouseSink } as const
  const refining = { service: 'enricher', unit: 'records', tail: Math.ceil(records / 20) } as const
  return {
    bronze: { ...lake, hop: HOPS.bronze, group: bronzeGroup(STREAM), topic: raw },
    enricher: { ...refining, hop: HOPS.enricher, group: enricherGroup(STREAM, 1), topic: raw },
    exactlyOnce: {
      ...refining,
      hop: HOPS.exactlyOnce,
      group: enricherGroup(EXACTLY_ONCE_STREAM, 1),
      topic: rawTopic(EXACTLY_ONCE_STREAM),
    },
    silver: { ...lake, hop: HOPS.silver, group: silverGroup(STREAM, 1), topic: refined },
    landing: { ...landing, hop: HOPS.landing, group: landingGroup(STREAM, 1), topic: refined },
  }
}

/** Starts the service on a full topic and follows its committed offsets to the end. */
export async function drainHop(mesh: BenchMesh, drain: Drain): Promise<Measurement> {
  const total = await recordsOf(mesh, drain.topic)
  const committed = async (): Promise<number> => {
    const offsets = await mesh.kafka.admin.committed(drain.group, drain.topic)
    return [...offsets.values()].reduce((sum, { offset }) => sum + offset, 0)
  }
  const [samples, readyAt] = await Promise.all([
    followTo(mesh, { ...drain, total }, committed),
    mesh.start(drain.service).then(() => performance.now()),
  ])
  return measured(drain, samples, { total, readyAt })
}

/** Applies the exactly-once stream and gives it the records that the other one had. */
export async function fillExactlyOnce(mesh: BenchMesh): Promise<void> {
  await mesh.start('replayer')
  await mesh.apply(EXACTLY_ONCE_STREAM)
  await mesh.stop('replayer')
  const [from, to] = [rawTopic(STREAM), rawTopic(EXACTLY_ONCE_STREAM)]
  const ends = await mesh.kafka.admin.offsets(from)
  const ranges = ends.map(({ partition, logStartOffset, highWatermark }) => ({
    partition,
    from: logStartOffset,
    to: highWatermark,
  }))
  const producer = await mesh.kafka.producer({ compression: 'zstd' })
  try {
    await mesh.kafka.readRanges(from, ranges, async ({ partition, records }) => {
      for (let at = 0; at < records.length; at += EVENTS_PER_REQUEST) {
        await producer.send(
          to,
          records.slice(at, at + EVENTS_PER_REQUEST).map((record) => ({ ...record, partition })),
        )
      }
    })
  } finally {
    await producer.close()
  }
}

/** Replays the whole stream from the lake; the candidate's own services need not run. */
export async function replayHop(mesh: BenchMesh, total: number): Promise<Measurement> {
  const url = `${mesh.replayerUrl}/v1/replays`
  const { id, replayTopic } = await callJson<ReplayJob>(url, {
    method: 'POST',
    body: { stream: STREAM, source: 'lake' },
  })
  const reaches = (what: string, states: readonly string[]): Promise<true> =>
    waitFor(
      async () => {
        mesh.tools.signal.throwIfAborted()
        const { state } = await callJson<ReplayJob>(`${url}/${id}`)
        return states.includes(state) ? true : null
      },
      { what, timeoutMs: HOP_TIMEOUT_MS, everyMs: 20 },
    )
  await reaches('the replay to run', ['RUNNING', 'DRAINED', 'READY'])
  const drain = { hop: HOPS.replayer, unit: 'records', service: 'replayer', tail: 0, total } as const
  const samples = await followTo(mesh, drain, () => recordsOf(mesh, replayTopic))
  await reaches('the replay to be drained', ['DRAINED', 'READY'])
  return measured(drain, samples, { total, readyAt: samples[0]!.at })
}

async function recordsOf(mesh: BenchMesh, topic: string): Promise<number> {
  return (await mesh.kafka.admin.offsets(topic)).reduce((sum, { highWatermark }) => sum + highWatermark, 0)
}

type HopSample = DrainSample & { readonly peakMb: number | null }

async function followTo(
  mesh: BenchMesh,
  { hop, service, total }: Pick<Drain, 'hop' | 'service'> & { readonly total: number },
  progress: () => Promise<number>,
): Promise<HopSample[]> {
  const samples: HopSample[] = []
  await waitFor(
    async () => {
      mesh.tools.signal.throwIfAborted()
      const records = await progress()
      const at = performance.now()
      const [own, broker] = await Promise.all([mesh.usage(service), mesh.usage('kafka')])
      samples.push({
        at,
        records,
        cpuSeconds: own?.cpuSeconds ?? 0,
        brokerCpuSeconds: broker?.cpuSeconds ?? 0,
        peakMb: own?.peakMb ?? null,
      })
      return records >= total ? true : null
    },
    {
      what: `${hop} to reach ${total}`,
      timeoutMs: HOP_TIMEOUT_MS,
      everyMs: SAMPLE_MS,
      progress: () => String(samples.at(-1)?.records ?? 0),
    },
  )
  return samples
}

function measured(
  { hop, unit, tail }: Pick<Drain, 'hop' | 'unit' | 'tail'>,
  samples: readonly HopSample[],
  { total, readyAt }: { total: number; readyAt: number },
): Measurement {
  return { hop, unit, ...drainRate(samples, { total, tail, readyAt }), peakMb: samples.at(-1)?.peakMb ?? null }
}
