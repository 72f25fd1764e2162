import { join } from 'node:path'
import { enricherGroup, rawTopic, refinedTopic } from '@mesh/shared/core/topics'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import { applyStreams } from '../../../packages/cli/src/streams/apply.ts'
import { verifyStream } from '../../../packages/cli/src/verify/verify.ts'
import { waitFor } from '../../../packages/cli/src/wait-for.ts'
import { createCodeLoader } from '../../../services/enricher/src/adapters/code-loader.ts'
import { stillParked } from '../../../services/enricher/src/core/books.ts'
import { readBooks } from '../../../services/enricher/src/core/books-metadata.ts'
import { type MeshUnderTest, startMesh } from '../../e2e/mesh-under-test.ts'
import { type Fleet, startFleet } from './fleet.ts'
import { createPatientSend, customerRow, type Load, startLoad } from './load.ts'
import { checkAgainstRaw } from './oracle.ts'
import { CUSTOMERS, STREAMS, writeContract, writeStreams } from './streams.ts'

const SETTLE_MS = 300_000
/** Undecided records of all streams and partitions at which the load pauses. */
const FULL = 600

export type FaultWorld = {
  readonly mesh: MeshUnderTest
  readonly fleet: Fleet
  readonly seed: number
  /** Writes a stream's contract anew and applies it. */
  bind(stream: string, refineLines?: string): Promise<void>
  /** From here on the version that is live is what has to settle and to equal raw. */
  follow(stream: string): Promise<void>
  /** Orders flow into both streams; the customer of the round is late. */
  beginRound(name: string): Promise<Round>
  /** Records of the first versions' topics of refined orders; what a transaction has not committed does not count. */
  outputs(): Promise<number>
  /** Per partition of a stream's raw topic. */
  behind(stream: string): Promise<Lag[]>
  stop(): Promise<void>
}

/** `lag` to the last stable offset `end`; `waiting` are parked. */
export type Lag = { readonly end: number; readonly lag: number; readonly waiting: number }

export type Round = {
  readonly load: Load
  /** Waits until the enrichers have written `more` outputs since the last call. */
  progress(more: number, what: string): Promise<void>
  /** Ends the load and lets the late row come; everything has to settle by itself and to equal a recomputation of raw. */
  close(): Promise<void>
}

export type WorldOptions = {
  readonly cacheDir: string
  readonly seed: number
  readonly members: readonly string[]
  /** Without the sinks the books close over raw and refined alone. */
  readonly sinks: boolean
  /** Settings of all services. */
  readonly env?: Readonly<Record<string, string>>
}

export async function startFaultWorld({ cacheDir, seed, members, sinks, env = {} }: WorldOptions): Promise<FaultWorld> {
  const mesh = await startMesh(cacheDir, {
    services: sinks ? ['replayer', 'lake-sink', 'warehouse-sink'] : ['replayer'],
    prepare: writeStreams,
    env,
  })
  const { kafka, stack, store, projectDir } = mesh
  const codec = createAvroCodec(createSchemaRegistry({ url: stack.addresses.registryUrl }))
  const privacy = {
    readSecret: () => Promise.reject(new Error('no stream here has a secret')),
    holdMs: 1000,
    maxSubjects: 1,
    onErased: () => {},
  }
  const codes = createCodeLoader({ store, codec, cacheDir: join(projectDir, '.mesh', 'oracle'), privacy })
  const send = createPatientSend(kafka)
  /** Versions that have taken the place of the first one. */
  const live = new Map<string, number>()
  let chunks = 0
  let rounds = 0

  const apply = (only: readonly string[]): Promise<unknown> =>
    applyStreams({ projectRoot: projectDir, store, replayerUrl: mesh.replayerUrl(), only })

  async function behind(stream: string): Promise<Lag[]> {
    const committed = await kafka.admin.committed(enricherGroup(stream, live.get(stream) ?? 1), rawTopic(stream))
    return (await kafka.admin.offsets(rawTopic(stream))).map(({ partition, lastStableOffset }) => {
      const commit = committed.get(partition)
      if (!commit) return { end: lastStableOffset, lag: lastStableOffset, waiting: 0 }
      const waiting = stillParked(readBooks(commit.metadata, stream))
      return { end: lastStableOffset, lag: lastStableOffset - commit.offset, waiting }
    })
  }

  async function isFull(): Promise<boolean> {
    try {
      const lags = await Promise.all(STREAMS.map(behind))
      return lags.flat().reduce((sum, { lag }) => sum + lag, 0) > FULL
    } catch {
      return false // the broker is away: the load finds out by itself
    }
  }

  async function outputs(): Promise<number> {
    let sum = 0
    for (const stream of STREAMS) {
      for (const { lastStableOffset } of await kafka.admin.offsets(refinedTopic(stream, 1))) sum += lastStableOffset
    }
    return sum
  }

  /** Lag is 0, nothing waits, and no transaction hangs. */
  async function settled(streams: readonly string[]): Promise<void> {
    let last = ''
    await waitFor(
      async () => {
        const open: string[] = []
        for (const stream of streams) {
          const lags = await behind(stream)
          if (lags.some(({ lag, waiting }) => lag + waiting > 0)) {
            open.push(`${stream}: ${lags.map(({ lag, waiting }) => `lag ${lag} waiting ${waiting}`).join(', ')}`)
          }
          const topic = refinedTopic(stream, live.get(stream) ?? 1)
          const hanging = (await kafka.admin.offsets(topic)).filter((o) => o.lastStableOffset < o.highWatermark)
          if (hanging.length > 0) open.push(`${stream} has open transactions`)
        }
        last = open.join('; ')
        return open.length === 0 ? true : null
      },
      { what: 'the enrichers to catch up', timeoutMs: SETTLE_MS, everyMs: 250, progress: () => last },
    )
  }

  async function booksClose(): Promise<void> {
    if (sinks) {
      const open = (await mesh.books(SETTLE_MS)).filter(({ state }) => state !== 'closed')
      if (open.length > 0) throw new Error(`books do not close: ${JSON.stringify(open)}`)
      return
    }
    for (const stream of STREAMS) {
      const summaries = await verifyStream(
        { kafka, store, warehouseFile: mesh.warehouseFile },
        await mesh.versions(stream),
      )
      const found = summaries.flatMap(({ verdicts }) => verdicts.flatMap(({ findings }) => findings))
      const ofSinks = found.filter(({ check }) => !/bronze|silver|landing/.test(check))
      if (ofSinks.length > 0) throw new Error(`books do not close: ${JSON.stringify(ofSinks)}`)
    }
  }

  async function beginRound(name: string): Promise<Round> {
    const load = startLoad({
      kafka,
      streams: STREAMS,
      seed: seed + rounds + 1,
      customers: CUSTOMERS,
      late: `late-${++rounds}`,
      nextChunk: () => chunks++,
      isFull,
    })
    let reached = await outputs()
    console.log(`[faults] seed ${seed}: ${name}`)
    return {
      load,
      async progress(more, what) {
        const from = reached
        await waitFor(
          async () => {
            reached = await outputs()
            return reached >= from + more ? true : null
          },
          { what, timeoutMs: SETTLE_MS, progress: () => `${reached - from} of ${more} outputs` },
        )
      },
      async close() {
        await load.stop()
        const healed = Date.now()
        await settled([CUSTOMERS, ...STREAMS])
        const seconds = ((Date.now() - healed) / 1000).toFixed(1)
        for (const stream of STREAMS) {
          const found = await checkAgainstRaw(
            { kafka, codec, codes, customers: CUSTOMERS },
            await mesh.versions(stream),
          )
          const { raw, outputs, parked, redelivered } = found
          console.log(
            `[faults] ${name}: ${stream} equals raw: ${raw} records, ${outputs} outputs, ${parked} of them had waited, ${redelivered} redelivered`,
          )
        }
        await booksClose()
        console.log(`[faults] ${name}: ${load.posted()} orders, settled ${seconds} s after the load, books close`)
      },
    }
  }

  const fleet = await startFleet(mesh, members)
  try {
    await apply([CUSTOMERS])
    await apply(STREAMS)
    await send(rawTopic(CUSTOMERS), ['c0', 'c1', 'c2'].map(customerRow))
    const world: FaultWorld = {
      mesh,
      fleet,
      seed,
      async bind(stream, refineLines) {
        writeContract(projectDir, stream, refineLines)
        await apply([stream])
      },
      async follow(stream) {
        live.set(stream, (await mesh.versions(stream)).live)
      },
      beginRound,
      outputs,
      behind,
      async stop() {
        await fleet.stop()
        await mesh.stop()
      },
    }
    for (const member of members.slice(0, 2)) await fleet.join(member)
    await settled([CUSTOMERS])
    return world
  } catch (error) {
    await fleet.stop()
    await mesh.stop()
    throw error
  }
}
