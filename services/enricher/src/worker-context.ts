import type { CommitEvent } from '@mesh/shared/core/books'
import type { RetryPolicy } from '@mesh/shared/core/retry-policy'
import type { Source } from './core/arrival.ts'
import type { ParkedBodies } from './core/body-cache.ts'
import type { BookId, Books } from './core/books.ts'
import type { Decidable, RefineCode } from './core/decide.ts'
import type { DedupeStore } from './core/dedupe.ts'
import type { PublishedFates } from './core/fates.ts'
import type { Joined } from './core/joins.ts'
import type { KeyedState } from './core/keyed-state.ts'
import type { ParkedIndex } from './core/parked.ts'
import type { PublishedReleases } from './core/published-releases.ts'
import type { EnricherTelemetry } from './telemetry.ts'

export type EmitLimits = {
  /** Bytes of one step's writes; the outputs of one event are never split. */
  readonly maxChunkBytes: number
  readonly maxOutputBytes: number
  /** Bytes of one transaction; a run stops there and goes on after the commit. */
  readonly maxTransactionBytes: number
}

export type ParkingContext = {
  /** Most parked records of one partition: at it the partition waits. */
  readonly maxRecords: number
  /** Most bytes that the index of one partition's parked records takes: at it the partition waits too. */
  readonly maxIndexBytes: number
  readonly retry: RetryPolicy
  /** Parked records by their offsets on the state topic. @throws MeshError MESH_REFINE_STATE_LOST */
  readonly read: (partition: number, stateOffsets: readonly number[]) => Promise<readonly Source[]>
}

/** What a worker needs that is the same for every partition of a stream's version. */
export type WorkerContext = {
  readonly topics: {
    readonly raw: string
    readonly refined: string
    readonly deadLetter: string
    readonly state: string
  }
  readonly group: string
  readonly codeAt: (partition: number, offset: number) => RefineCode
  /** What the declared joins of a record give at this moment. */
  readonly join: (input: Decidable) => Joined | Promise<Joined>
  /** Before records are decided: asks ahead for what their lookups need. */
  readonly prefetch: (sources: readonly Source[]) => Promise<void>
  readonly publish: (event: CommitEvent) => Promise<void>
  readonly limits: EmitLimits
  readonly parking: ParkingContext
  /** RFC 3339 time of the wall clock. */
  readonly wallClock: () => string
  /** The wall clock in epoch ms. */
  readonly epochMs: () => number
  /** In [0, 1). */
  readonly random: () => number
  readonly telemetry: EnricherTelemetry
}

/** State of one raw partition as restored; the worker owns it from here on. */
export type PartitionState = {
  readonly id: BookId
  readonly books: Books
  readonly dedupe: DedupeStore
  /** Histories of a change stream's keys. */
  readonly keyed: KeyedState
  readonly fates: PublishedFates
  /** End of the own output that `fates` was read from. */
  readonly fatesEnd: number
  readonly parked: ParkedState
  /** What is announced of the committed books; null before the first commit. */
  readonly announced: readonly CommitEvent[] | null
}

export type ParkedState = {
  /** False: the stream was applied before there were state topics, and nothing can be parked. */
  readonly hasTopic: boolean
  readonly index: ParkedIndex
  readonly releases: PublishedReleases
  /** State records of published releases, and of records at or after the books' position, by raw offset. */
  readonly records: Map<number, StateRecord>
  /** State records that stand for nothing. */
  readonly stale: StateRecord[]
  readonly bodies: ParkedBodies
}
export type StateRecord = {
  readonly key: Uint8Array
  readonly unit: string
  readonly stateOffset: number
  readonly parkedAtMs: number
}
