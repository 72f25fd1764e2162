import { readArrival, type Source } from '@mesh/enricher/core/arrival'
import { type Fate, protectedFate, type RefineCode, settledFate } from '@mesh/enricher/core/decide'
import { giveUp, type Joined, joinKey, joinRows, joinRulesOf, NO_JOINS } from '@mesh/enricher/core/joins'
import { createKeyedState, createMemoryKeyedStore, type KeyedState } from '@mesh/enricher/core/keyed-state'
import { isChangeStream, readChange } from '@mesh/enricher/core/read-change'
import { bytesText, header } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import type { Outcome, Refine } from '../refine.ts'
import { type Rows, readTables, type Table } from './join-rows.ts'
import { type LoadedStream, loadStream } from './load-stream.ts'
import { protection } from './protection.ts'
import { type Sample, sampleRecord } from './sample-record.ts'

export type { Sample } from './sample-record.ts'

export type RunRefineOptions = {
  /** The stream's folder: `import.meta.dirname` of its refine.test.ts. */
  readonly folder: string
  /** Instead of the folder's refine.ts. */
  // oxlint-disable-next-line typescript/no-explicit-any -- a refine function of any event, record and joins
  readonly refine?: Refine<any, any, any>
  /** Instead of the folder's refined.avsc: a schema to come. */
  readonly schema?: string
  /** Rows of the joined streams: stream → key → record; fields with a default may be missing. */
  readonly joins?: Rows
  /** Events (or `sample(event, { key, headers, … })`), in the order of one partition. Default: every file of `samples/`. */
  readonly samples?: readonly unknown[]
}

/** One record as it would lie on the refined topic. */
export type RefinedRecord = {
  readonly key: string | null
  /** As consumers decode it; null = a delete. */
  readonly record: Record<string, unknown> | null
  /** Avro without the registry's frame; null = a delete. */
  readonly bytes: Uint8Array | null
}

type Told = { readonly eventId: string; readonly eventTime: string }
export type RefineResult =
  | ({ readonly kind: 'ok'; readonly records: readonly RefinedRecord[]; readonly joins: string | null } & Told)
  | ({ readonly kind: 'drop'; readonly reason: string } & Told)
  | ({ readonly kind: 'duplicate' } & Told)
  | { readonly kind: 'deadLetter'; readonly code: string; readonly message: string; readonly stage: string }
  /** The door would not have taken it: 4xx with this code. */
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }

const SCHEMA_ID = 1
const FRAME_BYTES = 5
const MAX_OUTPUT_BYTES = 4_000_000

/**
 * Runs samples through a stream as the enricher would: the record that the gateway makes of an event, decode, event id and time, joins
 * with given rows, refine.ts, Avro with defaults, dead-letter codes. Only the dedupe by event id is left out.
 * @throws MeshError when the folder itself is wrong, as `mesh streams check` says it
 */
export async function runRefine(options: RunRefineOptions): Promise<RefineResult[]> {
  const stream = await loadStream(options)
  const codec = createAvroCodec({ schemaById: () => Promise.resolve(stream.avsc) })
  const tables = await readTables(stream.contract, options.joins ?? {}, options.folder)
  const guard = protection(stream.contract)
  const last: { outcome: Outcome<unknown> | null } = { outcome: null }
  const code: RefineCode = {
    codeHash: 'test',
    codeHeader: header(HEADER.code, 'test'),
    contractHash: 'test',
    contract: stream.contract,
    refine: stream.refine && spied(stream.refine, last),
    encode: (record) => codec.encode(SCHEMA_ID, stream.avsc, guard === null ? record : guard.protect(record)),
    ...(guard === null ? {} : { fetchSubjects: guard.fetchSubjects }),
  }
  const keyed = createKeyedState(createMemoryKeyedStore())
  const results: RefineResult[] = []
  const samples = options.samples ?? stream.samples
  for (let i = 0; i < samples.length; i++) {
    const record = sampleRecord(samples[i], { contract: stream.contract, index: i })
    if ('refused' in record) {
      results.push({ kind: 'refused', code: record.refused.code, message: record.refused.message })
      continue
    }
    last.outcome = null
    const source: Source = { at: { topicId: 'test', partition: 0, offset: i }, record }
    const { fate, told } = await decideSample(source, { code, tables, keyed })
    results.push(
      await resultOf(fate, { told, reason: reasonOf(last.outcome), decode: (framed) => codec.decode(framed) }),
    )
  }
  return results
}

/** The samples' own form for an event with a key, headers, a time or exact bytes. */
export function sample(event: unknown, about: Omit<Sample, 'event'> = {}): Sample {
  return { ...about, event, isSample: true }
}

type Deciding = {
  readonly code: RefineCode
  readonly tables: ReadonlyMap<string, Table>
  readonly keyed: KeyedState
}

async function decideSample(source: Source, { code, tables, keyed }: Deciding): Promise<{ fate: Fate; told: Told }> {
  const { contract } = code
  const { arrival, superseded } = isChangeStream(contract)
    ? readChange(source, contract, keyed)
    : { arrival: readArrival(source, contract), superseded: false }
  const input = {
    source,
    arrival,
    code,
    duplicate: superseded,
    published: null,
    passed: false,
    maxOutputBytes: MAX_OUTPUT_BYTES,
  }
  let joined: Joined = NO_JOINS
  if (source.record.value !== null && (arrival.kind === 'event' || arrival.kind === 'change')) {
    const { event } = arrival
    const rules = joinRulesOf(arrival, contract.refine.joins)
    const keys = rules.map((rule) => joinKey(rule, event, source.record.value!))
    const found = rules.map((rule, i) => (keys[i] == null ? null : (tables.get(rule.stream)?.get(keys[i]) ?? null)))
    // A row that would be waited for does not come.
    joined = giveUp(joinRows(rules, found, keys))
  }
  const fate = settledFate(input) ?? (await protectedFate(input, joined))
  const told = arrival.kind === 'poison' ? { eventId: '', eventTime: '' } : arrival
  return { fate, told: { eventId: told.eventId, eventTime: told.eventTime } }
}

type Telling = {
  readonly told: Told
  readonly reason: string
  readonly decode: (framed: Uint8Array) => Promise<{ readonly record: Record<string, unknown> }>
}

async function resultOf(fate: Fate, { told, reason, decode }: Telling): Promise<RefineResult> {
  switch (fate.kind) {
    case 'ok': {
      const records = await Promise.all(
        fate.records.map(async ({ key, value }) => ({
          key: key === null ? null : bytesText(key),
          record: value === null ? null : (await decode(value)).record,
          bytes: value === null ? null : value.subarray(FRAME_BYTES),
        })),
      )
      const used = fate.records[0]?.headers.find(({ name }) => name === HEADER.joins)?.value
      return { kind: 'ok', records, joins: used ? bytesText(used) : null, ...told }
    }
    case 'drop':
      return { kind: 'drop', reason, ...told }
    case 'duplicate':
      return { kind: 'duplicate', ...told }
    case 'deadLetter': {
      const { code, message, stage } = fate.problem
      return { kind: 'deadLetter', code, message, stage }
    }
    case 'published':
    case 'parked':
      throw new Error('a test publishes and parks nothing')
  }
}

/** A fate does not keep the reason of a drop; the outcome does. */
function spied(refine: NonNullable<LoadedStream['refine']>, last: { outcome: Outcome<unknown> | null }): Refine {
  return (event, context) => {
    const outcome = refine(event, context)
    last.outcome = outcome
    return outcome
  }
}

const reasonOf = (outcome: Outcome<unknown> | null): string => (outcome?.kind === 'drop' ? outcome.reason : '')
