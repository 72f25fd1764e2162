import { MeshError } from '@mesh/shared/core/errors'
import type { PartitionBuffer } from './core/partition-buffer.ts'
import type { LandingStep, LedgerEntry, Warehouse } from './core/ports.ts'
import type { SinkTelemetry } from './telemetry.ts'

export type FlushLimits = {
  /** Of all partitions together. Twice `maxBytes` bounds what is held: one flush under way, one filling. */
  readonly maxRows: number
  readonly maxBytes: number
  /** Age of the oldest change that the warehouse does not have, ms. */
  readonly maxAgeMs: number
}

export type FlushMember = {
  readonly buffer: PartitionBuffer
  /** Announces a durable step. */
  readonly publish: (entry: LedgerEntry) => Promise<void>
  /** The step is durable and announced: the group's offset may follow. */
  readonly settled: (entry: LedgerEntry) => void
}

/** Collects the pending steps of every partition of every stream into one opening of the warehouse and one transaction. */
export type Flusher = {
  join(member: FlushMember): void
  leave(member: FlushMember): void
  /** Tells of a change in a member's buffer. */
  changed(rows: number, bytes: number): void
  /** True when the buffers hold as much as they may: a partition flushes before it takes more. */
  readonly full: () => boolean
  readonly due: () => boolean
  /** Waits for the flush under way, then flushes while `wanted` holds. @throws what made a flush fail, for ever after */
  flush(wanted: () => boolean): Promise<void>
  /** From here on a locked warehouse fails instead of being waited for. */
  stop(): void
  /** The reason why the warehouse is being waited for, else null. */
  blocked(): string | null
}

export type FlusherOptions = {
  readonly warehouse: Warehouse
  readonly limits: FlushLimits
  /** Monotonic, ms. */
  readonly now: () => number
  readonly telemetry: SinkTelemetry
}

export function createFlusher({ warehouse, limits, now, telemetry }: FlusherOptions): Flusher {
  const members = new Set<FlushMember>()
  let rows = 0
  let bytes = 0
  let oldest: number | null = null
  let running: Promise<void> | null = null
  let blocked: string | null = null
  let failure: { readonly error: unknown } | null = null
  let stopping = false

  const full = (): boolean => rows >= limits.maxRows || bytes >= limits.maxBytes
  const due = (): boolean => full() || (oldest !== null && now() - oldest >= limits.maxAgeMs)

  async function flush(wanted: () => boolean): Promise<void> {
    while (running !== null) await running
    // A step that was cut and not written is lost from memory, so nothing later may be written or committed: the process ends
    // and reads again from the ledger.
    if (failure !== null) throw failure.error
    if (!wanted()) return
    running = flushAll().catch((error: unknown) => {
      failure = { error }
      throw error
    })
    try {
      await running
    } finally {
      running = null
    }
  }

  async function flushAll(): Promise<void> {
    const cuts: { readonly member: FlushMember; readonly step: LandingStep }[] = []
    for (const member of members) {
      const step = member.buffer.cut()
      if (step !== null) cuts.push({ member, step })
    }
    const cutRows = rows
    rows = 0
    bytes = 0
    oldest = null
    if (cuts.length === 0) return
    const startedAt = now()
    await writeWaiting(cuts.map(({ step }) => step))
    await Promise.all(cuts.map(({ member, step }) => member.publish(step.entry)))
    for (const { member, step } of cuts) member.settled(step.entry)
    telemetry.flushed({ rows: cutRows, partitions: cuts.length, ms: now() - startedAt })
  }

  /** A locked warehouse took nothing: the same steps are tried until it is free. The partitions wait, and memory with them. */
  async function writeWaiting(steps: readonly LandingStep[]): Promise<void> {
    for (;;) {
      try {
        await warehouse.write(steps)
        blocked = null
        return
      } catch (error) {
        if (!(error instanceof MeshError) || error.code !== 'MESH_WAREHOUSE_LOCKED' || stopping) throw error
        blocked = error.message
        telemetry.locked(error)
      }
    }
  }

  return {
    join: (member) => void members.add(member),
    leave: (member) => void members.delete(member),
    changed(addedRows, addedBytes) {
      rows += addedRows
      bytes += addedBytes
      oldest ??= now()
    },
    full,
    due,
    flush,
    stop() {
      stopping = true
    },
    blocked: () => blocked,
  }
}
