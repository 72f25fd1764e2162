import type { JoinRule } from '../core/contract.ts'
import { isPointer } from '../core/json-pointer.ts'

export type FieldSource = {
  /** The joined stream; null: the event itself. */
  readonly stream: string | null
  /** JSON Pointer in the event, or the joined record's field. */
  readonly field: string
}

type AvscField = { readonly name: string; readonly from?: string | readonly string[] }

/**
 * Where the fields of a refined record are from, as far as the contract says: the attribute `from` of a field in refined.avsc (Avro
 * lets fields carry further attributes), one or several of `/pointer` into the event and `join#field` of a joined record. Without
 * refine.ts the event is the record, so each field is the event's own. What refine.ts does is code: a field without `from` has no
 * entry, and nothing is guessed from names.
 */
export function declaredSources(
  avsc: string,
  joins: readonly JoinRule[],
  hasRefine: boolean,
): ReadonlyMap<string, readonly FieldSource[]> {
  const { fields } = JSON.parse(avsc) as { fields: readonly AvscField[] }
  const declared = new Map<string, readonly FieldSource[]>()
  for (const { name, from } of fields) {
    if (from !== undefined)
      declared.set(
        name,
        [from].flat().flatMap((text) => sourceOf(text, joins)),
      )
    else if (!hasRefine) declared.set(name, [{ stream: null, field: `/${name}` }])
  }
  return declared
}

/** What is wrong with the `from` of fields: neither a pointer nor a field of a joined record. @param joins their `as` */
export function declaredProblems(avsc: string, joins: readonly string[]): string[] {
  const { fields } = JSON.parse(avsc) as { fields: readonly AvscField[] }
  return fields.flatMap(({ name, from }) => {
    if (from === undefined) return []
    const texts: readonly unknown[] = Array.isArray(from) ? from : [from]
    return texts
      .filter((text) => !isSource(text, joins))
      .map((text) => {
        const names = joins.length > 0 ? `, or JOIN#field with JOIN one of ${joins.join(', ')}` : ''
        return `field ${name}: from ${JSON.stringify(text)} is not a pointer into the event (/name)${names}`
      })
  })
}

function isSource(text: unknown, joins: readonly string[]): boolean {
  if (typeof text !== 'string' || text === '') return false
  return text.startsWith('/')
    ? isPointer(text)
    : joins.some((as) => text.startsWith(`${as}#`) && text.length > as.length + 1)
}

function sourceOf(text: string, joins: readonly JoinRule[]): FieldSource[] {
  if (text.startsWith('/')) return [{ stream: null, field: text }]
  const [as, field = ''] = text.split('#')
  const join = joins.find((each) => each.as === as)
  return join && field !== '' ? [{ stream: join.stream, field }] : []
}
