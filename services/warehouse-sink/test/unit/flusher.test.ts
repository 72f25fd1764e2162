import { MeshError } from '@mesh/shared/core/errors'
import { describe, expect, test, vi } from 'vitest'
import { createPartitionBuffer } from '../../src/core/partition-buffer.ts'
import type { LandingStep, LedgerEntry, Warehouse } from '../../src/core/ports.ts'
import { createFlusher, type Flusher, type FlushLimits } from '../../src/flusher.ts'
import { rowAt, TABLE } from './rows.ts'
import { SILENT_TELEMETRY } from './silent-telemetry.ts'

vi.setConfig({ testTimeout: 60_000 })

/** Conditions come true at once on a free machine. */
const PATIENT = { timeout: 50_000 }

const LIMITS: FlushLimits = { maxRows: 10, maxBytes: 1000, maxAgeMs: 100 }

function setUp(write: Warehouse['write']) {
  let now = 0
  const flusher = createFlusher({
    warehouse: { write, prepare: async () => {}, ledger: async () => [], project: async () => {} },
    limits: LIMITS,
    now: () => now,
    telemetry: SILENT_TELEMETRY,
  })
  return { flusher, passTime: (ms: number) => void (now += ms) }
}

function joinPartition(flusher: Flusher, partition: number, log: string[] = []) {
  const buffer = createPartitionBuffer({ table: TABLE, topicId: 't', partition, entry: null, logStartOffset: 0 })
  const settled: LedgerEntry[] = []
  flusher.join({
    buffer,
    publish: async (entry) => void log.push(`publish ${partition}@${entry.nextOffset}`),
    settled: (entry) => {
      log.push(`settled ${partition}@${entry.nextOffset}`)
      settled.push(entry)
    },
  })
  const take = (offset: number, bytes = 1): void => {
    buffer.accept(offset, rowAt(offset, {}, partition), bytes)
    flusher.changed(1, bytes)
  }
  return { take, settled }
}

describe('flusher', () => {
  test('one transaction takes what every partition holds; each is announced after the write and settled after that', async () => {
    const log: string[] = []
    const writes: (readonly LandingStep[])[] = []
    const { flusher } = setUp(async (steps) => {
      writes.push(steps)
      log.push('write')
    })
    const [a, b, idle] = [0, 1, 2].map((partition) => joinPartition(flusher, partition, log))
    a!.take(0)
    b!.take(0)
    b!.take(1)
    await flusher.flush(() => true)
    expect(writes.map((steps) => steps.map((step) => step.rows.length))).toEqual([[1, 2]])
    expect(log).toEqual(['write', 'publish 0@1', 'publish 1@2', 'settled 0@1', 'settled 1@2'])
    expect(idle!.settled).toEqual([])
  })

  test('rows, bytes and the age of the oldest change make it due; nothing pending never does', async () => {
    const { flusher, passTime } = setUp(async () => {})
    const { take } = joinPartition(flusher, 0)
    passTime(1000)
    expect(flusher.due()).toBe(false)
    take(0)
    passTime(99)
    expect(flusher.due()).toBe(false)
    passTime(1)
    expect([flusher.due(), flusher.full()]).toEqual([true, false])
    await flusher.flush(flusher.due)
    expect(flusher.due()).toBe(false)
    take(1, 1000)
    expect(flusher.full()).toBe(true)
    await flusher.flush(flusher.full)
    for (let offset = 2; offset < 12; offset++) take(offset)
    expect(flusher.full()).toBe(true)
  })

  test('partitions that ask together share one flush, and what arrives meanwhile goes into the next', async () => {
    const releases: (() => void)[] = []
    const rows: number[] = []
    const { flusher } = setUp((steps) => {
      rows.push(steps.reduce((n, step) => n + step.rows.length, 0))
      return new Promise((resolve) => releases.push(resolve))
    })
    const [a, b] = [joinPartition(flusher, 0), joinPartition(flusher, 1)]
    a.take(0, 1000)
    b.take(0, 1000)
    const asked = [flusher.flush(flusher.full), flusher.flush(flusher.full)]
    a.take(1)
    releases.shift()!()
    await Promise.all(asked)
    expect(rows).toEqual([2])
    const next = flusher.flush(() => true)
    await expect.poll(() => releases.length, PATIENT).toBe(1)
    releases.shift()!()
    await next
    expect(rows).toEqual([2, 1])
  })

  test('a locked warehouse is waited for with the same steps, and says so', async () => {
    const seen: (readonly LandingStep[])[] = []
    const blocked: (string | null)[] = []
    const { flusher } = setUp(async (steps) => {
      blocked.push(flusher.blocked())
      seen.push(steps)
      if (seen.length < 3) throw new MeshError('MESH_WAREHOUSE_LOCKED', 'dbt has it')
    })
    const { take, settled } = joinPartition(flusher, 0)
    take(0)
    await flusher.flush(() => true)
    expect(new Set(seen.map((steps) => steps[0]!)).size).toBe(1)
    expect(blocked).toEqual([null, 'dbt has it', 'dbt has it'])
    expect(flusher.blocked()).toBeNull()
    expect(settled).toHaveLength(1)
  })

  test('a stopping sink does not wait for a locked warehouse', async () => {
    const { flusher } = setUp(async () => {
      throw new MeshError('MESH_WAREHOUSE_LOCKED', 'dbt has it')
    })
    joinPartition(flusher, 0).take(0)
    flusher.stop()
    await expect(flusher.flush(() => true)).rejects.toThrow('dbt has it')
  })

  test('after a failed write nothing later is written or settled', async () => {
    let writes = 0
    const { flusher } = setUp(async () => {
      writes += 1
      throw new Error('disk full')
    })
    const { take, settled } = joinPartition(flusher, 0)
    take(0)
    await expect(flusher.flush(() => true)).rejects.toThrow('disk full')
    take(1)
    await expect(flusher.flush(() => true)).rejects.toThrow('disk full')
    expect(writes).toBe(1)
    expect(settled).toEqual([])
  })

  test('after a step that could not be announced nothing later is written', async () => {
    const { flusher } = setUp(async () => {})
    const buffer = createPartitionBuffer({ table: TABLE, topicId: 't', partition: 0, entry: null, logStartOffset: 0 })
    buffer.accept(0, rowAt(0), 1)
    flusher.join({
      buffer,
      publish: () => Promise.reject(new Error('broker gone')),
      settled: () => expect.unreachable(),
    })
    await expect(flusher.flush(() => true)).rejects.toThrow('broker gone')
    await expect(flusher.flush(() => true)).rejects.toThrow('broker gone')
  })
})
