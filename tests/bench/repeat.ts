import { type BenchSetup, startBenchMesh } from './bench-mesh.ts'
import { measureCeilings } from './ceilings.ts'
import { drainHop, drains, fillExactlyOnce, gatewayHop, replayHop } from './hops.ts'
import type { MachineFacts } from './machine.ts'
import type { Measurement } from './table.ts'

export type RepeatResult = {
  readonly machine: MachineFacts
  readonly measurements: readonly Measurement[]
  /** The process that did each service's hop, to find its profile by. */
  readonly pids: ReadonlyMap<string, number>
}

/** Every hop once, each alone with the broker, on a mesh of its own that is stopped at the end. */
export async function runRepeat(
  setup: BenchSetup & {
    readonly lines: readonly string[]
    readonly payloadFile: string
    readonly onMeasured: (measurement: Measurement) => void
  },
): Promise<RepeatResult> {
  const { records, lines, payloadFile, onMeasured } = setup
  const mesh = await startBenchMesh(setup)
  const measurements: Measurement[] = []
  const pids = new Map<string, number>()

  function add(measurement: Measurement): void {
    measurements.push(measurement)
    onMeasured(measurement)
  }

  /** The hop's process is stopped after it: the next hop has the cores for itself. */
  async function alone(service: string, hop: () => Promise<Measurement>): Promise<void> {
    const measurement = await hop()
    const pid = (await mesh.usage(service))?.pid
    if (pid !== undefined) pids.set(measurement.hop, pid)
    await mesh.stop(service)
    add(measurement)
  }

  try {
    for (const measurement of await measureCeilings(mesh, { records, payloadFile })) add(measurement)
    await mesh.start('ingest-gateway')
    await alone('ingest-gateway', () => gatewayHop(mesh, lines))
    const { bronze, enricher, exactlyOnce, silver, landing } = drains(mesh, records)
    for (const drain of [bronze, enricher, silver, landing]) await alone(drain.service, () => drainHop(mesh, drain))
    await fillExactlyOnce(mesh)
    await alone(exactlyOnce.service, () => drainHop(mesh, exactlyOnce))
    await mesh.start('replayer')
    await alone('replayer', () => replayHop(mesh, records))
    return { machine: mesh.machine, measurements, pids }
  } finally {
    await mesh.close()
  }
}
