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

/** What an operator wants of a source; kept in `mesh.sources`. */
export type Intent = 'running' | 'paused' | 'deleted'

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
