import type { Counts, HashSum } from '@mesh/shared/core/books'
import type { HighestSrc } from '@mesh/shared/core/coordinate'
import type { Column, RefinedRow } from '@mesh/shared/schema/port'

/** A version's landing table: `FLIGHTS__V1`, the typed columns of refined.avsc and then the mesh's own. */
export type LandingTable = {
  readonly stream: string
  readonly version: number
  /** Name of the view over the live version, as the contract gives it: `FLIGHTS`. */
  readonly view: string
  /** `FLIGHTS__V1`. */
  readonly table: string
  readonly columns: readonly Column[]
}

/** Progress and books of one refined partition, stored in the transaction that stores its rows. */
export type LedgerEntry = {
  readonly stream: string
  readonly version: number
  /** Identity of the refined topic. */
  readonly topicId: string
  readonly partition: number
  /** Range of the last step, in refined offsets. */
  readonly firstOffset: number
  readonly nextOffset: number
  /** Cumulative up to `nextOffset`, as are `hash` and `highest`. */
  readonly counts: Counts
  readonly hash: HashSum
  readonly highest: HighestSrc
  /** Of the last step: bytes read, event times (epoch ms) of its rows. */
  readonly bytes: number
  readonly minEventTime: number | null
  readonly maxEventTime: number | null
}

/** What one flush adds for one partition. */
export type LandingStep = {
  readonly table: LandingTable
  readonly rows: readonly RefinedRow[]
  /** The ledger's `nextOffset` as this writer knows it; null where it has no entry. The write is refused if it moved. */
  readonly expected: number | null
  readonly entry: LedgerEntry
}

/** The view a stream's users read, as its versions record asks for it. */
export type LandingView = {
  readonly table: LandingTable
  readonly mode: 'append' | 'upsert'
  readonly epoch: number
}

export interface Warehouse {
  /**
   * Creates the table, or adds the columns its schema grew by. Idempotent.
   * @throws MeshError MESH_WAREHOUSE_SCHEMA when a column changed in a way that would lose values.
   */
  readonly prepare: (table: LandingTable) => Promise<void>
  /** Entries of one partition: at most one, unless the refined topic was created anew. */
  readonly ledger: (stream: string, version: number, partition: number) => Promise<LedgerEntry[]>
  /**
   * All rows and ledger entries in one transaction: all or nothing.
   * @throws MeshError MESH_WAREHOUSE_LEDGER (another writer moved an entry), MESH_WAREHOUSE_REPLACED (a table is not the one
   * prepared), MESH_WAREHOUSE_LOCKED (nothing was written; may be tried again).
   */
  readonly write: (steps: readonly LandingStep[]) => Promise<void>
  /** Points a stream's view at its live version, whose table it prepares. A view never goes back to an older epoch. */
  readonly project: (view: LandingView) => Promise<void>
}
