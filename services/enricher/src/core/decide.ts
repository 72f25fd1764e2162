import type { Outcome, Output, Refine, RefineContext, RefineRecord } from '@mesh/client/refine'
import type { HashSum } from '@mesh/shared/core/books'
import type { Contract } from '@mesh/shared/core/contract'
import { isMeshError } from '@mesh/shared/core/errors'
import { formatInstant } from '@mesh/shared/core/instant'
import { bytesText, type RecordHeader, type RecordToSend } from '@mesh/shared/core/record'
import { SubjectKeysMissing } from '@mesh/shared/privacy/protect'
import type { Arrival, Source } from './arrival.ts'
import { changeOutcome } from './change-outcome.ts'
import type { Published } from './fates.ts'
import type { Joined } from './joins.ts'
import { type Problem, problem, problemOf, refusal } from './problem.ts'
import { type OutputValue, refinedRecords, totalBytes } from './refined-record.ts'

/** The code of one bundle, ready to run. */
export type RefineCode = {
  readonly codeHash: string
  /** `mesh-code` with the code hash. */
  readonly codeHeader: RecordHeader
  readonly contractHash: string
  readonly contract: Contract
  /** Null: the event itself must match refined.avsc. */
  readonly refine: Refine | null
  /** Confluent-framed Avro of a record, its private fields protected. Throws when it does not match the schema; SubjectKeysMissing. */
  readonly encode: (record: unknown) => Uint8Array
  /** Fetches what `encode` found missing; absent where nothing is protected. */
  readonly fetchSubjects?: (subjects: readonly string[]) => Promise<void>
}

/** What becomes of a raw record. Every record has exactly one. */
export type Fate =
  /** `records` are to be emitted in this order; none is a fate too. */
  | { readonly kind: 'ok'; readonly records: readonly RecordToSend[]; readonly hash: HashSum; readonly bytes: number }
  /** An earlier run emitted it: counted as ok, not emitted again. */
  | { readonly kind: 'published'; readonly outputs: number; readonly hash: HashSum }
  | { readonly kind: 'duplicate' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'deadLetter'; readonly problem: Problem }
  /** It waits, or follows one that waits; its outputs come in lane `parked`. */
  | { readonly kind: 'parked' }

export type Decidable = {
  readonly source: Source
  readonly arrival: Arrival
  readonly code: RefineCode
  readonly duplicate: boolean
  readonly published: Published | null
  /** A later record's output is on the topic already, so this record can no longer become ok. */
  readonly passed: boolean
  /** Most bytes that the outputs of one raw record may take: they must fit one record batch. */
  readonly maxOutputBytes: number
}

/** The fate that needs neither joins nor user code, or null when both are still to be asked. */
export function settledFate({ published, arrival, duplicate }: Decidable): Fate | null {
  if (published !== null) return { kind: 'published', ...published }
  if (arrival.kind === 'poison') return { kind: 'deadLetter', problem: arrival.problem }
  return duplicate ? { kind: 'duplicate' } : null
}

export type RefinedFate = Exclude<Fate, { kind: 'published' | 'duplicate' | 'parked' }>

/**
 * The fate by joins and user code. Never throws for what an event or refine.ts does. `joined` waits for nothing.
 * @throws SubjectKeysMissing: fetch and ask again
 */
export function refinedFate(input: Decidable, joined: Joined): RefinedFate {
  const fate = emittable(input, joined)
  if (fate.kind !== 'ok' || fate.records.length === 0) return fate
  if (input.passed) {
    return dead(
      problem('emit', 'MESH_REFINE_FATE_CHANGED', 'a later record is published and this one gave no output before'),
    )
  }
  const { bytes } = fate
  if (bytes <= input.maxOutputBytes) return fate
  return dead(
    problem(
      'emit',
      'MESH_KAFKA_RECORD_TOO_LARGE',
      `the outputs of one event take ${bytes} bytes and must fit one batch`,
    ),
  )
}

/** `refinedFate` with the keys of every subject that the outputs name: at once where they are known, else once they are fetched. */
export function protectedFate(input: Decidable, joined: Joined): RefinedFate | Promise<RefinedFate> {
  try {
    return refinedFate(input, joined)
  } catch (error) {
    const fetchSubjects = input.code.fetchSubjects
    if (!(error instanceof SubjectKeysMissing) || !fetchSubjects) throw error
    return fetchSubjects(error.subjects).then(() => protectedFate(input, joined))
  }
}

function emittable({ source, arrival, code }: Decidable, joined: Joined): RefinedFate {
  switch (arrival.kind) {
    case 'poison':
      return dead(arrival.problem)
    case 'tombstone':
      return okFate([{ subKey: null, value: null }], { source, arrival, code, joined })
    case 'change':
    case 'event': {
      if (joined.problem !== null) return dead(joined.problem)
      const outcome = outcomeOf(source, arrival, code, joined)
      if ('stage' in outcome) return dead(outcome)
      switch (outcome.kind) {
        case 'ok': {
          const values = encodeOutputs(outcome.outputs, code)
          return 'stage' in values ? dead(values) : okFate(values, { source, arrival, code, joined })
        }
        case 'tombstone':
          return okFate([{ subKey: outcome.subKey ?? null, value: null }], { source, arrival, code, joined })
        case 'drop':
          return { kind: 'drop' }
        case 'deadLetter':
          return dead(refusal(String(outcome.code), String(outcome.reason)))
        default:
          return dead(invalid(outcome))
      }
    }
  }
}

type Live = Exclude<Arrival, { kind: 'poison' }>

function okFate(
  values: readonly OutputValue[],
  from: { source: Source; arrival: Live; code: RefineCode; joined: Joined },
): RefinedFate {
  const { records, hash } = refinedRecords(values, {
    source: from.source,
    eventId: from.arrival.eventId,
    eventTime: from.arrival.eventTime,
    codeHeader: from.code.codeHeader,
    joins: from.joined.header,
  })
  return { kind: 'ok', records, hash, bytes: totalBytes(records) }
}

function outcomeOf(
  source: Source,
  arrival: Extract<Arrival, { kind: 'event' | 'change' }>,
  code: RefineCode,
  joined: Joined,
): Outcome<Record<string, unknown>> | Problem {
  if (code.refine === null) {
    if (arrival.kind === 'change') return changeOutcome(arrival.event)
    return { kind: 'ok', outputs: [{ record: arrival.event as Record<string, unknown> }] }
  }
  try {
    const outcome: unknown = code.refine(arrival.event, new Context(joined.rows, source, arrival))
    if (typeof outcome !== 'object' || outcome === null || outcome instanceof Promise) return invalid(outcome)
    return outcome as Outcome<Record<string, unknown>>
  } catch (error) {
    return problemOf('refine', 'MESH_REFINE_THROWN', error)
  }
}

function encodeOutputs(outputs: readonly Output<Record<string, unknown>>[], code: RefineCode): OutputValue[] | Problem {
  if (!Array.isArray(outputs)) return invalid(outputs)
  const values: OutputValue[] = []
  for (const output of outputs) {
    const subKey = output?.subKey ?? null
    if (typeof output !== 'object' || output === null || (subKey !== null && typeof subKey !== 'string')) {
      return problem('refine', 'MESH_REFINE_INVALID', `output ${values.length} is no { record, subKey? }`)
    }
    try {
      values.push({ subKey, value: code.encode(output.record) })
    } catch (error) {
      if (error instanceof SubjectKeysMissing) throw error
      // Encoding touches nothing but the record, so whatever else it throws is the record's fault.
      const ownCode = isMeshError(error) && error.code === 'MESH_PRIVACY_SUBJECT'
      return problemOf('encode', ownCode ? error.code : 'MESH_REFINE_INVALID', error)
    }
  }
  return values
}

function invalid(outcome: unknown): Problem {
  if (outcome instanceof Promise) {
    // A rejection nobody waits for would end the process.
    outcome.catch(() => {})
    return problem('refine', 'MESH_REFINE_INVALID', 'refine.ts returned a promise: it must be synchronous')
  }
  return problem('refine', 'MESH_REFINE_INVALID', 'refine.ts returned no outcome (ok, tombstone, drop or deadLetter)')
}

/** What refine.ts is handed. A class, because a getter in an object literal costs more than half a microsecond for every event. */
class Context implements RefineContext {
  readonly joins: Joined['rows']
  readonly #source: Source
  readonly #arrival: Live

  constructor(joins: Joined['rows'], source: Source, arrival: Live) {
    this.joins = joins
    this.#source = source
    this.#arrival = arrival
  }

  /** Most code never asks: what it costs to make is then saved for every event. */
  get record(): RefineRecord {
    return refineRecord(this.#source, this.#arrival)
  }
}

/** Headers and texts are built when refine.ts asks for them. */
function refineRecord({ at, record }: Source, arrival: Live): RefineRecord {
  return {
    coordinate: at,
    eventId: arrival.eventId,
    eventTime: arrival.eventTime,
    get key() {
      return record.key === null ? null : bytesText(record.key)
    },
    get headers() {
      const headers: Record<string, string | null> = {}
      for (const { name, value } of record.headers) {
        if (!name.startsWith('mesh-')) headers[name] = value === null ? null : bytesText(value)
      }
      return headers
    },
    get receivedAt() {
      return formatInstant(record.timestamp)
    },
  }
}

const dead = (problem: Problem): RefinedFate => ({ kind: 'deadLetter', problem })
