import type { RecordToSend } from '@mesh/shared/core/record'
import type { Source } from './arrival.ts'
import { type Release, SEQUENCE_BLOCK } from './books.ts'
import { type DeadLetterFrom, deadLetterRecord } from './dead-letter.ts'
import type { RefinedFate } from './decide.ts'
import type { ParkedRecord } from './parked.ts'
import { parkedKey } from './parked-state.ts'
import type { Problem } from './problem.ts'
import { releasedRecords } from './refined-record.ts'

/** A parked record with the fate that it has got. */
export type Released = {
  readonly source: Source
  readonly record: ParkedRecord
  readonly fate: RefinedFate
  /** Tries since the last start. */
  readonly attempt: number
}

/** A state record to take away; `offset` null: it stands for nothing. */
export type Tombstone = {
  readonly key: Uint8Array
  readonly offset: number | null
  readonly stateOffset: number | null
}

/** What one step of releases writes and books. */
export type ReleaseStep = {
  readonly outputs: readonly RecordToSend[]
  readonly deadLetters: readonly RecordToSend[]
  readonly problems: readonly Problem[]
  readonly bookings: readonly { readonly offset: number; readonly release: Release }[]
  /** Their state records. */
  readonly left: readonly Tombstone[]
}

/** @param next the lane's next sequence number: the outputs take the last ones of the block that begins there */
export function releaseStep(
  released: readonly Released[],
  { next, deadLetterFrom }: { next: number; deadLetterFrom: DeadLetterFrom },
): ReleaseStep {
  const total = released.reduce((sum, { fate }) => sum + (fate.kind === 'ok' ? fate.records.length : 0), 0)
  let first = next + SEQUENCE_BLOCK - total
  const outputs: RecordToSend[] = []
  const deadLetters: RecordToSend[] = []
  const problems: Problem[] = []
  const bookings: { offset: number; release: Release }[] = []
  for (const { source, record, fate, attempt } of released) {
    const { offset } = record
    if (fate.kind !== 'ok') {
      bookings.push({ offset, release: { kind: fate.kind } })
      if (fate.kind !== 'deadLetter') continue
      deadLetters.push(deadLetterRecord(source, fate.problem, { ...deadLetterFrom, attempt }))
      problems.push(fate.problem)
      continue
    }
    const out = releasedRecords(fate.records, { at: source.at, first })
    first += out.records.length
    outputs.push(...out.records)
    bookings.push({ offset, release: { kind: 'ok', outputs: out.records.length, hash: out.hash } })
  }
  const left = released.map(({ source, record: { offset, stateOffset } }): Tombstone => {
    return { key: parkedKey(source.record.key, offset), offset, stateOffset }
  })
  return { outputs, deadLetters, problems, bookings, left }
}
