import { Buffer } from 'node:buffer'
import type { PrivacyRule } from '../core/contract.ts'
import { MeshError } from '../core/errors.ts'
import { at, pointerTokens } from '../core/json-pointer.ts'
import { encryptValue, hashValue, type MasterKeys, tokenOf } from './seal.ts'
import type { SubjectKey, SubjectKeys } from './subject-keys.ts'

/** A record names subjects whose keys are not known yet: fetch them, then protect it again. Nothing is wrong with the record. */
export class SubjectKeysMissing extends Error {
  readonly subjects: readonly string[]
  constructor(subjects: readonly string[]) {
    super('keys of subjects are to be fetched')
    this.name = 'SubjectKeysMissing'
    this.subjects = subjects
  }
}

/** What stands in the place of an erased subject's values. */
export const ERASED = '[erased]'

export type Protect = (record: unknown) => unknown
export type ProtectOptions = {
  readonly stream: string
  readonly rules: readonly PrivacyRule[]
  readonly keys: MasterKeys
  readonly subjects: SubjectKeys
  /** A value of an erased subject was put out of the record. */
  readonly onErased: () => void
}

type Compiled = {
  readonly rule: PrivacyRule
  readonly path: readonly string[]
  readonly subject: readonly string[] | null
  /** Authenticated with every ciphertext. */
  readonly about: string
}

/**
 * Protects the fields of refined records, which are not changed themselves. Null stays null, empty stays empty under no rule: an empty
 * text is a value too. @throws SubjectKeysMissing; MeshError MESH_PRIVACY_SUBJECT for a value whose subject is missing
 */
export function createProtect(options: ProtectOptions): Protect {
  const compiled: Compiled[] = options.rules.map((rule) => ({
    rule,
    path: pointerTokens(rule.at),
    subject: rule.subject === null ? null : pointerTokens(rule.subject),
    about: fieldOf(options.stream, rule.at),
  }))
  return function protect(record) {
    const missing = new Set<string>()
    const found: { path: readonly string[]; value: unknown }[] = []
    for (const one of compiled) {
      const value = at(record, one.path)
      if (typeof value !== 'string' && !(value instanceof Uint8Array)) continue
      const key = keyFor(record, one, options.subjects, missing)
      if (key !== undefined) found.push({ path: one.path, value: protectedValue(value, one, { key, options }) })
    }
    if (missing.size > 0) throw new SubjectKeysMissing([...missing])
    return found.reduce((copy, { path, value }) => replaced(copy, path, value), record)
  }
}

/** What a ciphertext is bound to. */
export const fieldOf = (stream: string, pointer: string): string => `${stream}\0${pointer}`

/** Null: the rule needs no key. Undefined: it is still to be fetched. */
function keyFor(
  record: unknown,
  { rule, subject }: Compiled,
  keys: SubjectKeys,
  missing: Set<string>,
): SubjectKey | null | undefined {
  if (subject === null) return null
  const value = at(record, subject)
  const text = typeof value === 'number' || typeof value === 'bigint' ? String(value) : value
  if (typeof text !== 'string' || text === '') {
    throw new MeshError('MESH_PRIVACY_SUBJECT', `the subject at ${rule.subject} of ${rule.at} is missing`)
  }
  const known = keys.known(text)
  if (known !== null) return known
  missing.add(text)
  return undefined
}

function protectedValue(
  value: string | Uint8Array,
  { rule, about }: Compiled,
  { key, options }: { key: SubjectKey | null; options: ProtectOptions },
): string | Uint8Array {
  const asText = typeof value === 'string'
  const bytes = asText ? Buffer.from(value) : value
  if (key?.kind === 'erased') {
    options.onErased()
    return asText ? ERASED : Buffer.from(ERASED)
  }
  if (key === null) {
    const hash = hashValue(options.keys, bytes)
    return asText ? Buffer.from(hash).toString('hex') : new Uint8Array(hash)
  }
  const sealed =
    rule.as === 'token'
      ? tokenOf(key.dataKey, asText ? value : Buffer.from(bytes).toString('latin1'))
      : encryptValue(key.dataKey, bytes, { keyId: options.keys.keyId, name: key.name, about })
  return asText ? sealed : Buffer.from(sealed, 'latin1')
}

/** A copy along the path; everything beside it is shared. */
function replaced(record: unknown, path: readonly string[], value: unknown): unknown {
  const [step, ...rest] = path
  if (step === undefined) return value
  const inner = (record as Readonly<Record<string, unknown>>)[step]
  return { ...(record as object), [step]: replaced(inner, rest, value) }
}
