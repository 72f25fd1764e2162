import type { MeshError } from '@mesh/shared/core/errors'
import type { PostgresSource } from '@mesh/shared/core/source'
import type { TableReport } from './source-types.ts'

export type WantedTable = { readonly table: string; readonly stream: string }

/** What is there after the checks, and what was put in order. */
export type PreparedDatabase = {
  /** Tables that can be captured; one that cannot has a problem and holds nobody else up. */
  readonly tables: readonly string[]
  readonly reports: readonly TableReport[]
  readonly problems: readonly MeshError[]
  /** Null = there is no slot (yet). */
  readonly slot: { readonly active: boolean; readonly lost: boolean; readonly lagBytes: number | null } | null
}

/** Rows of a table to read again: all of them, or those that a condition of SQL names. */
export type SnapshotRequest = { readonly table: string; readonly condition?: string }

/** The databases of sources, as change capture needs them. Every call may throw MESH_SOURCE_* and MESH_SECRET_MISSING. */
export type SourceDatabase = {
  /** Checks what change capture needs, and creates signal table and publication where the mesh is to manage them. */
  prepare(source: PostgresSource, wanted: readonly WantedTable[]): Promise<PreparedDatabase>
  /** Notes tables whose rows the first snapshot reads; `snapshotNew` then passes them over. */
  note(source: PostgresSource, tables: readonly string[]): Promise<void>
  /** An incremental snapshot of those tables that were never noted. */
  snapshotNew(source: PostgresSource, tables: readonly string[]): Promise<void>
  /** An incremental snapshot; with an id that was used before nothing happens. */
  snapshot(source: PostgresSource, id: string, requests: readonly SnapshotRequest[]): Promise<void>
  /** Drops the slot and, with `everything`, publication and signal table too. */
  drop(source: PostgresSource, everything: boolean): Promise<void>
}
