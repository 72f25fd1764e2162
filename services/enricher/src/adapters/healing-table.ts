import { describeError, MeshError } from '@mesh/shared/core/errors'
import { type RetryPolicy, retryDelayMs } from '@mesh/shared/core/retry-policy'
import { refinedTopic } from '@mesh/shared/core/topics'
import type { Scheduler } from '@mesh/shared/kafka/scheduler'
import type { TableStore } from '../core/table-store.ts'
import type { JoinTable, TableId } from './join-tables.ts'
import { type OpenTable, type OpenTableDeps, openTable } from './open-table.ts'

export type HealingTable = {
  readonly table: JoinTable
  /** Null while it cannot be read. */
  store(): TableStore | null
  stop(): Promise<void>
}

export type HealingDeps = Omit<OpenTableDeps, 'onRow' | 'onBroken'> & { readonly scheduler: Scheduler }

const RETRY: RetryPolicy = { initialMs: 1000, maxMs: 60_000, factor: 2, retries: Number.POSITIVE_INFINITY }

/**
 * A table that breaks while it is used is opened again by itself, from the topic where its file is lost. Until then lookups throw, so
 * that the partitions that need it stand still: a row must never be missing because its table is away.
 */
export async function openHealingTable(id: TableId, deps: HealingDeps): Promise<HealingTable> {
  const listeners = new Set<(key: string) => void>()
  let current: OpenTable | null = null
  let reason = ''
  let stopped = false
  let healing: Promise<void> = Promise.resolve()
  let wakeUp: (() => void) | null = null

  const open = (): Promise<OpenTable> =>
    openTable(id, {
      ...deps,
      onRow(key) {
        for (const listener of listeners) listener(key)
      },
      onBroken,
    })

  function onBroken(error: unknown): void {
    if (stopped) return
    const broken = current
    current = null
    reason = describeError(error)
    healing = heal(broken)
  }

  async function heal(broken: OpenTable | null): Promise<void> {
    await stopQuietly(broken)
    for (let tries = 1; !stopped && current === null; tries++) {
      await pause(retryDelayMs(RETRY, tries, 0)!)
      if (stopped) return
      try {
        current = await open()
      } catch (error) {
        reason = describeError(error)
      }
    }
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = deps.scheduler.after(ms, resolve)
      wakeUp = () => {
        cancel()
        resolve()
      }
    })
  }

  function now(): OpenTable {
    if (current !== null) return current
    throw new MeshError('MESH_JOIN_TABLE_AWAY', `the joined table is being opened again: ${reason}`, {
      place: refinedTopic(id.stream, id.version),
    })
  }

  current = await open()
  return {
    table: {
      find: (key) => now().find(key),
      findAsOf: (key, atMs) => now().findAsOf(key, atMs),
      knows: (key) => now().knows(key),
      size: () => current?.size() ?? 0,
      onRow(listener) {
        listeners.add(listener)
        return () => void listeners.delete(listener)
      },
    },
    store: () => current?.store ?? null,
    async stop() {
      stopped = true
      wakeUp?.()
      await healing
      await current?.stop()
    },
  }
}

/** What is broken may not stop in good order either; its file is a cache. */
async function stopQuietly(broken: OpenTable | null): Promise<void> {
  try {
    await broken?.stop()
  } catch {
    // It is opened anew, and that says what is wrong.
  }
}
