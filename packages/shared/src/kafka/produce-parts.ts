import { MeshError } from '../core/errors.ts'
import type { RecordToSend } from '../core/record.ts'
import type { SendCall, SendOutcome } from './merged-sends.ts'
import { produceVerdict, sequenceAfter } from './produce-verdict.ts'

/** The records of one delivery for one partition: one record batch. */
export type Part = {
  readonly topic: string
  readonly partition: number
  readonly records: RecordToSend[]
  /** An attempt ended without an answer, or with one that says "perhaps": the batch may be in the log. */
  uncertain: boolean
  /** Undefined while open; the offset of the first record; null for refused as too large; or the error that leaves it open for good. */
  outcome: number | null | MeshError | undefined
  /** Why the last attempt settled nothing. */
  lastError: unknown
}

/** What a broker says of one partition's batch. `baseOffset` counts only with `errorCode` 0. */
export type BatchAnswer = {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly baseOffset: number
}

export function partKey({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${topic}/${partition}`
}

export function partsOf(calls: readonly SendCall[]): ReadonlyMap<string, Part> {
  const parts = new Map<string, Part>()
  for (const { topic, records } of calls) {
    for (const record of records) {
      const { partition } = record
      const key = partKey({ topic, partition })
      const part = parts.get(key)
      if (part) part.records.push(record)
      else
        parts.set(key, {
          topic,
          partition,
          records: [record],
          uncertain: false,
          outcome: undefined,
          lastError: null,
        })
    }
  }
  return parts
}

/** Takes an answer in; no answer is one that says nothing. `sequences` holds the next sequence number of each partition. */
export function judge(part: Part, answer: BatchAnswer | undefined, sequences: Map<string, number>): void {
  const verdict = answer === undefined ? 'uncertain' : produceVerdict(answer.errorCode)
  part.lastError = new Error(answer ? `the broker answered with error code ${answer.errorCode}` : 'no answer')
  switch (verdict) {
    case 'written':
      return judgeWritten(part, answer!.baseOffset, sequences)
    case 'too-large':
      if (part.uncertain) giveUp(part)
      else part.outcome = null
      return
    case 'uncertain':
      part.uncertain = true
      return
    case 'stale-producer':
      // Under a new id the broker could not tell a repetition: only what was certainly not written may go again.
      if (part.uncertain) giveUp(part)
      return
    case 'failed':
      return giveUp(part)
    case 'retry':
      return
  }
}

function judgeWritten(part: Part, baseOffset: number, sequences: Map<string, number>): void {
  if (Number.isSafeInteger(baseOffset) && baseOffset >= 0) {
    const key = partKey(part)
    sequences.set(key, sequenceAfter(sequences.get(key) ?? 0, part.records.length))
    part.outcome = baseOffset
    return
  }
  part.uncertain = true
  part.lastError = new Error('the answer lacks an offset')
  giveUp(part)
}

export function giveUp(part: Part, error: unknown = part.lastError): void {
  const message = part.uncertain ? 'writing to Kafka; the outcome is unknown' : 'Kafka did not take the record batch'
  part.outcome = new MeshError('MESH_KAFKA_UNAVAILABLE', message, { cause: error, place: partKey(part) })
}

/** Per call its records' offsets in input order, or the error of the first partition that has one. */
export function outcomesOf(calls: readonly SendCall[], parts: ReadonlyMap<string, Part>): SendOutcome[] {
  const next = new Map([...parts].map(([key, part]) => [key, part.outcome]))
  return calls.map(({ topic, records }) => {
    // Offsets are counted in failed calls too: their records lie among the others.
    const outcomes = records.map(({ partition }) => {
      const key = partKey({ topic, partition })
      const outcome = next.get(key)!
      if (typeof outcome === 'number') next.set(key, outcome + 1)
      return outcome
    })
    return outcomes.find((outcome) => outcome instanceof MeshError) ?? (outcomes as (number | null)[])
  })
}
