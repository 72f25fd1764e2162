import type { Contract } from '@mesh/shared/core/contract'
import type { MeshError } from '@mesh/shared/core/errors'
import type { RecordToSend } from '@mesh/shared/core/record'
import type { Sources } from '@mesh/shared/core/source'
import type { EventCheck } from './event-check.ts'

/** A stream as the gateway serves it: its contract's newest bundle of the live version. */
export type IngestStream = {
  readonly contract: Contract
  readonly bundleHash: string
  readonly rawTopic: string
  readonly partitions: number
  readonly rawSchema: Readonly<Record<string, unknown>> | null
  /** The sources that its ingests are pulled from. */
  readonly sources: Sources
  /** Set when the contract says that raw.schema.json is checked here. */
  readonly check: EventCheck | null
}

/** `missing` = no such stream; `starting` = it may exist, and cannot be served yet. */
export type StreamLookup =
  | { readonly kind: 'found'; readonly stream: IngestStream }
  | { readonly kind: 'missing' }
  | { readonly kind: 'starting'; readonly reason: string }

/** The streams that are published on `mesh.versions`. */
export interface StreamDirectory {
  find(name: string): StreamLookup
  streams(): readonly IngestStream[]
}

/** What became of one record; null while Kafka has not said. */
export type WriteOutcome = { readonly offset: number } | { readonly error: MeshError }

export type Write = {
  /** In input order; filled as answers come. */
  readonly outcomes: readonly (WriteOutcome | null)[]
  /** Resolves (never rejects) once every outcome is there. */
  readonly done: Promise<void>
}

/** Writes records to a raw topic, acks=all, in order per partition. */
export interface RawWriter {
  write(topic: string, records: readonly RecordToSend[]): Write
}

/** Reads a secret reference of a contract; null where there is none. */
export type ReadSecret = (reference: string) => Promise<string | null>

/** What one transaction of a source makes visible at once. */
export type SourceWrite = {
  /** For the source's raw topic. */
  readonly records: readonly RecordToSend[]
  /** The position that the records belong to. */
  readonly state: unknown
  /** Further records beside the position, by name; null deletes one. */
  readonly parts?: ReadonlyMap<string, unknown>
}

/** A source's position while this process holds it. */
export interface SourceSession {
  /** As it was found; null = this source was never read. */
  readonly state: unknown
  readonly parts: ReadonlyMap<string, unknown>
  /**
   * Records and position in one transaction: the position is never ahead of its records, nor behind them.
   * @throws MeshError MESH_KAFKA_FENCED, MESH_KAFKA_UNAVAILABLE: the session is spent. MESH_KAFKA_RECORD_TOO_LARGE: nothing was written.
   */
  commit(write: SourceWrite): Promise<void>
  close(): Promise<void>
}

/** HTTP headers by lower-case name; a repeated one is joined with `, `. Values are Latin-1, as HTTP gives them. */
export type RequestHeaders = Readonly<Record<string, string | undefined>>
