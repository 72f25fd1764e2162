import type { ReplayedHistory } from '@mesh/shared/core/versions'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { ParkedBodies } from './core/body-cache.ts'
import type { BookId } from './core/books.ts'
import type { RefineCode } from './core/decide.ts'
import type { DedupeStore } from './core/dedupe.ts'
import type { DedupeScope } from './core/dedupe-scope.ts'
import type { KeyedState } from './core/keyed-state.ts'

export type RestoreDeps = {
  readonly kafka: Pick<KafkaPort, 'admin' | 'readRanges'>
  readonly topics: { readonly raw: string; readonly refined: string; readonly state: string }
  readonly codeAt: (partition: number, offset: number) => RefineCode
  readonly scope: DedupeScope
  /** The dedupe store of a partition, with what an earlier process left in it. */
  readonly openDedupe: (scope: DedupeScope) => DedupeStore
  /** Opens what is kept of a change stream's keys; null for any other stream. */
  readonly openKeyed: ((id: BookId) => KeyedState) | null
  readonly openBodies: (partition: number) => ParkedBodies
  /** True: whoever wrote before is fenced, and what lies beyond books of a transaction is nobody's. */
  readonly transactional: boolean
  /** The history that the version was given, while its topic exists. */
  readonly replay: ReplayedHistory | null
}

export type RestoreFrom = {
  readonly id: BookId
  /** Metadata of the offset that carries the books; null before the first commit. */
  readonly metadata: string | null
  /** First raw offset that the version covers. */
  readonly start: number
  /** Where the books go on, when that is beyond their own position: the changeover. */
  readonly atLeast?: number
  /** End of what was read of the replay topic; null = all of it. */
  readonly replayedTo: number | null
}
