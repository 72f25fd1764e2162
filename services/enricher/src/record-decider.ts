import { type RecordToSend, recordBytes } from '@mesh/shared/core/record'
import { type Arrival, readArrival, type Source } from './core/arrival.ts'
import { type DeadLetterFrom, deadLetterRecord } from './core/dead-letter.ts'
import { type Decidable, type Fate, protectedFate, type RefineCode, settledFate } from './core/decide.ts'
import type { Joined } from './core/joins.ts'
import { isChangeStream, readChange } from './core/read-change.ts'
import type { Parked, ParkedLane } from './parked-lane.ts'
import type { PartitionState, WorkerContext } from './worker-context.ts'

/** A record and what is found out about it once, whatever becomes of it. */
export type Prepared = {
  readonly source: Source
  readonly arrival: Arrival
  readonly code: RefineCode
  readonly duplicate: boolean
  /** Raw time since the record that it repeats. */
  readonly ageMs: number | null
}

/** `fate` null: a redelivery. Nothing of it is booked before it is written. */
export type Decided = {
  readonly source: Source
  readonly prepared: Prepared | null
  readonly fate: Fate | null
  readonly parked: Parked | null
  readonly deadLetter: RecordToSend | null
  /** Of everything that it writes. */
  readonly bytes: number
}

/** `full`: it has to be parked and there is no room. */
export type Decision = Decided | 'full'

/** Decides one record of a partition after another, in source order. */
export type RecordDecider = {
  /** What may be done only once per record: the dedupe takes note of it. */
  prepare(source: Source): Prepared
  /** At once where no lookup has to be waited for. A record that is parked by it is parked provisionally. */
  decide(prepared: Prepared): Decision | Promise<Decision>
}

export type RecordDeciderDeps = {
  readonly state: PartitionState
  readonly context: WorkerContext
  readonly lane: ParkedLane
  readonly deadLetterFrom: DeadLetterFrom
}

export function createRecordDecider({ state, context, lane, deadLetterFrom }: RecordDeciderDeps): RecordDecider {
  const { id, dedupe, keyed, fates } = state

  function prepare(source: Source): Prepared {
    const code = context.codeAt(id.partition, source.at.offset)
    dedupe.advance(source.record.timestamp)
    if (isChangeStream(code.contract)) {
      // A change is held against its key's history, without a time window.
      const { arrival, superseded } = readChange(source, code.contract, keyed)
      return { source, arrival, code, duplicate: superseded, ageMs: null }
    }
    const arrival = readArrival(source, code.contract)
    const ageMs = arrival.kind === 'poison' ? null : dedupe.note(arrival.eventId, code.contract.refine.dedupeWindowMs)
    return { source, arrival, code, duplicate: ageMs !== null, ageMs }
  }

  function decide(prepared: Prepared): Decision | Promise<Decision> {
    const { source, arrival, code, duplicate } = prepared
    const { offset } = source.at
    const input: Decidable = {
      source,
      arrival,
      code,
      duplicate,
      published: fates.at(offset),
      passed: fates.passed(offset),
      maxOutputBytes: context.limits.maxOutputBytes,
    }
    const settled = settledFate(input)
    if (settled !== null) return decidedAs(prepared, settled)
    if (lane.holds(source)) return parkedAs(prepared, null)
    const joined = context.join(input)
    return joined instanceof Promise
      ? joined.then((rows) => settle(prepared, input, rows))
      : settle(prepared, input, joined)
  }

  function settle(prepared: Prepared, input: Decidable, joined: Joined): Decision | Promise<Decision> {
    if (joined.transient !== null && joined.problem === null) return parkedAs(prepared, joined)
    const fate = protectedFate(input, joined)
    return fate instanceof Promise ? fate.then((one) => decidedAs(prepared, one)) : decidedAs(prepared, fate)
  }

  function decidedAs(prepared: Prepared, fate: Fate): Decided {
    const { source } = prepared
    if (fate.kind === 'ok') return { source, prepared, fate, parked: null, deadLetter: null, bytes: fate.bytes }
    const deadLetter = fate.kind === 'deadLetter' ? deadLetterRecord(source, fate.problem, deadLetterFrom) : null
    const bytes = deadLetter === null ? 0 : recordBytes(deadLetter)
    return { source, prepared, fate, parked: null, deadLetter, bytes }
  }

  function parkedAs(prepared: Prepared, joined: Joined | null): Decision {
    const { source } = prepared
    const { offset } = source.at
    if (lane.isReleased(offset)) return decidedAs(prepared, { kind: 'parked' })
    if (lane.full(offset)) return 'full'
    const parked = lane.park(source, joined?.transient ?? null)
    const bytes = parked.state === null ? 0 : recordBytes(parked.state)
    return { source, prepared, fate: { kind: 'parked' }, parked, deadLetter: null, bytes }
  }

  return { prepare, decide }
}
