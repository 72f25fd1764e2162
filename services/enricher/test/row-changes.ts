import type { KafkaRecord } from '@mesh/shared/core/record'
import { bytesText } from '@mesh/shared/core/record'
import { postgresChange, TOAST } from './changes.ts'
import { seeded } from './seeded.ts'
import type { Posted } from './world.ts'

type Row = { readonly n: number; readonly doc: string | null }

/** Changes of few keys with everything that a connector may do: redelivered tails, snapshots, deletes, values it does not know. */
export function rowsLog(seed: number, length: number): Posted[] {
  const random = seeded(seed * 104_729)
  const log: Posted[] = []
  const alive = new Set<string>()
  let lsn = seed * 1000
  while (log.length < length) {
    if (log.length > 4 && random.chance(0.08)) {
      // A connector that died sends again what it had not committed.
      log.push(...log.slice(-1 - random.below(4)).map((posted) => ({ ...posted })))
      continue
    }
    const key = `k${random.below(4)}`
    if (random.chance(0.7)) lsn += 1 + random.below(3)
    const n = log.length + seed * 1000
    const doc = random.chance(0.5) ? TOAST : random.chance(0.2) ? null : `doc-${n}`
    const before = random.chance(0.2) ? { n: n - 1, doc: `before-${n}` } : null
    const op = random.chance(0.1) ? 'r' : random.chance(0.15) ? 'd' : alive.has(key) ? 'u' : 'c'
    if (op === 'd') alive.delete(key)
    else alive.add(key)
    const full = { n, doc: op === 'r' || op === 'c' ? `full-${n}` : doc }
    const text = postgresChange({ op, lsn, before, after: op === 'd' ? null : full })
    log.push({ key, value: random.chance(0.03) ? Buffer.from('{"op"') : Buffer.from(text) })
  }
  return log
}

export type RowFate = 'duplicate' | 'deadLetter' | Row | null

/** The fate of every record by its definition, looking back over the whole log each time. Null = a delete. */
export function rowFates(log: readonly KafkaRecord[]): RowFate[] {
  const fates: RowFate[] = []
  const seen: { key: string; lsn: number; snapshot: boolean; after: Row | null }[] = []
  for (const record of log) {
    const key = bytesText(record.key!)
    const change = readOrNull(bytesText(record.value!))
    if (change === null) {
      fates.push('deadLetter')
      continue
    }
    const { op, before, source } = change
    const mine = seen.filter((other) => other.key === key)
    const newer = (snapshot: boolean): boolean => mine.some((s) => s.snapshot === snapshot && s.lsn >= source.lsn)
    if (op === 'r' ? newer(true) || newer(false) : newer(false)) {
      fates.push('duplicate')
      continue
    }
    const last = mine.at(-1)?.after ?? null
    const known = [change.after?.doc ?? null, before?.doc ?? null, last?.doc ?? null]
    const doc =
      change.after?.doc === TOAST ? (known.find((value) => value !== null && value !== TOAST) ?? TOAST) : known[0]!
    const after = change.after === null ? null : { n: change.after.n, doc }
    seen.push({ key, lsn: source.lsn, snapshot: op === 'r', after })
    fates.push(after !== null && doc === TOAST ? 'deadLetter' : after)
  }
  return fates
}

function readOrNull(text: string) {
  try {
    return JSON.parse(text) as { op: string; before: Row | null; after: Row | null; source: { lsn: number } }
  } catch {
    return null
  }
}
