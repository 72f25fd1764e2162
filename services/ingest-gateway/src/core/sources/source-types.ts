import type { IngestPull } from '@mesh/shared/core/contract'
import type { MeshError } from '@mesh/shared/core/errors'
import type { Source } from '@mesh/shared/core/source'

/** What one stream takes from a source. */
export type SourceUse = { readonly stream: string; readonly rawTopic: string; readonly ingest: IngestPull }

/** A source that live bundles ask for, with everything that is taken from it. */
export type DesiredSource = {
  readonly source: Source
  readonly uses: readonly SourceUse[]
  /** What is wrong with what is asked, before anything is touched. */
  readonly problems: readonly MeshError[]
}

/** What an operator wants of a source. */
export type Intent = 'running' | 'paused' | 'deleted'

/** As `mesh.sources` keeps it: every gateway obeys, whoever reads the source. */
export type Wish = {
  readonly intent: Intent
  /** RFC 3339; another time than before asks for a restart. Null = never asked. */
  readonly restartedAt: string | null
}

export const UNASKED: Wish = { intent: 'running', restartedAt: null }

export type SourceState = 'starting' | 'running' | 'paused' | 'waiting' | 'failed' | 'deleted' | 'orphaned'

export type SourceProblem = { readonly code: string; readonly message: string; readonly hint: string }

export type TableReport = {
  readonly table: string
  readonly stream: string
  readonly replicaIdentity: string | null
  readonly note: string | null
}

/** What is told of a source, by any gateway: the leader writes it to `mesh.sources`. */
export type SourceReport = {
  readonly source: string
  readonly kind: Source['kind']
  readonly state: SourceState
  readonly streams: readonly string[]
  readonly problems: readonly SourceProblem[]
  readonly connector: { readonly name: string; readonly state: string; readonly tasks: readonly string[] } | null
  readonly tables: readonly TableReport[]
  /** Bytes of the database's log that the connector has not confirmed; null when unknown. */
  readonly lagBytes: number | null
  /** How often a failed task was started again. */
  readonly restarts: number
  /** RFC 3339. */
  readonly at: string
}

export const problemOf = (error: MeshError): SourceProblem => ({
  code: error.code,
  message: error.message,
  hint: error.hint,
})

export type AuditReport = {
  readonly stream: string
  readonly source: string
  readonly table: string
  /** closed: table and topic hold the same at the mark. open: they differ. unproven: neither can be said of some rows. */
  readonly state: 'closed' | 'open' | 'unproven'
  readonly rows: { readonly table: number; readonly topic: number }
  /** Of 256 ranges of key digests those whose sums differ. */
  readonly badRanges: readonly number[]
  /** Keys, at most 100 of each; the counts are whole. */
  readonly missing: KeyList
  readonly differing: KeyList
  readonly extra: KeyList
  /** Rows in the table whose last change is older than what the topic keeps. */
  readonly unproven: number
  /** Keys that a snapshot read while the audit ran: look again. */
  readonly moving: number
  /** Columns whose type has no common text. */
  readonly uncompared: readonly string[]
  /** Rows that were asked for again, and deletes that were written; null when it was not asked to repair. */
  readonly repaired: number | null
  /** RFC 3339. */
  readonly at: string
}

export type KeyList = { readonly count: number; readonly keys: readonly string[] }
