import type { AvroField, AvroNode, AvroRecord, Logical } from './avro-schema.ts'
import { parseAvsc, typeLabel } from './avro-schema.ts'

/** One difference between two schemas, in plain words. */
export type SchemaChange = {
  /** `customer.address.zip`; `[]` and `{}` stand for the items of an array and the values of a map; empty = the record itself. */
  readonly path: string
  readonly what: string
  /** False: records written with the former schema could not all be read with the new one. */
  readonly safe: boolean
  /** How the same could be had safely; null where only a new version of the stream will do. */
  readonly way: string | null
}

type Walk = {
  readonly path: readonly string[]
  readonly seen: Map<AvroNode, Set<AvroNode>>
  readonly found: SchemaChange[]
}
type Union = Extract<AvroNode, { kind: 'union' }>
type Enum = Extract<AvroNode, { kind: 'enum' }>

/** What changes from `written` to `next`, field by field; the words for Avro's schema resolution. @throws MESH_CONTRACT_SCHEMA */
export function schemaChanges(next: string, written: string): SchemaChange[] {
  const found: SchemaChange[] = []
  compare(parseAvsc(written), parseAvsc(next), { path: [], seen: new Map(), found })
  return found
}

/** One line: where, what, and the way out of an unsafe change. */
export function describeChange({ path, what, safe, way }: SchemaChange): string {
  const where = path === '' ? 'the record' : `field ${path}`
  return `${where} ${what}${safe || way === null ? '' : `: ${way}`}`
}

function compare(from: AvroNode, to: AvroNode, walk: Walk): void {
  const pairs = walk.seen.get(from) ?? new Set()
  if (pairs.has(to)) return
  walk.seen.set(from, pairs.add(to))
  if (from.kind === 'union' || to.kind === 'union') return compareUnions(from, to, walk)
  if (from.kind === 'record' && to.kind === 'record') return compareRecords(from, to, walk)
  if (from.kind === 'enum' && to.kind === 'enum') return compareEnums(from, to, walk)
  if (from.kind === 'array' && to.kind === 'array') return compare(from.items, to.items, into(walk, '[]'))
  if (from.kind === 'map' && to.kind === 'map') return compare(from.values, to.values, into(walk, '{}'))
  if (from.kind === 'fixed' && to.kind === 'fixed') {
    compareNames(from, to, walk)
    if (from.size !== to.size) return unsafe(walk, `changes its size from ${from.size} to ${to.size} bytes`, null)
  } else if (from.kind !== to.kind) return comparePlain(from, to, walk)
  compareLogical(from, to, walk)
}

function compareRecords(from: AvroRecord, to: AvroRecord, walk: Walk): void {
  compareNames(from, to, walk)
  const kept = new Set<AvroField>()
  const added: AvroField[] = []
  for (const field of to.fields) {
    const same = from.fields.find(({ name }) => name === field.name)
    const renamed = same ?? from.fields.find(({ name }) => field.aliases.includes(name))
    if (!renamed) {
      added.push(field)
      continue
    }
    kept.add(renamed)
    const inner = into(walk, field.name)
    if (!same) safe(inner, `is ${renamed.name} under another name, by its alias`)
    compare(renamed.type, field.type, inner)
  }
  const gone = from.fields.filter((field) => !kept.has(field))
  for (const field of added) addField(field, gone, into(walk, field.name))
  for (const { name } of gone) {
    safe(into(walk, name), 'is removed: records keep it, readers with the new schema pass it over')
  }
}

function addField(field: AvroField, gone: readonly AvroField[], walk: Walk): void {
  if (field.fallback !== undefined)
    return safe(walk, `is added; older records read as ${JSON.stringify(field.fallback)}`)
  const renamed = gone.find(({ type }) => typeLabel(type) === typeLabel(field.type))
  const rename = renamed ? `, or "aliases": ["${renamed.name}"] if it is ${renamed.name} under another name` : ''
  unsafe(walk, 'is added without a default', `give it one ("type": ["null", …], "default": null)${rename}`)
}

function compareUnions(from: AvroNode, to: AvroNode, walk: Walk): void {
  const [former, latter] = [branchesOf(from), branchesOf(to)]
  for (const branch of former) {
    const target =
      latter.find((other) => sameBranch(branch, other)) ?? latter.find((other) => isPromotion(branch, other))
    if (target) compare(branch, target, walk)
    else if (branch.kind === 'null')
      unsafe(walk, 'no longer takes null, which older records hold', 'keep "null" in its type')
    else if (latter.length === 1) comparePlain(branch, latter[0]!, walk)
    else unsafe(walk, `no longer takes ${typeLabel(branch)}`, `keep ${typeLabel(branch)} in its type`)
  }
  for (const branch of latter) {
    if (former.some((other) => sameBranch(other, branch) || isPromotion(other, branch))) continue
    safe(walk, branch.kind === 'null' ? 'may be null' : `takes ${typeLabel(branch)} too`)
  }
}

function compareEnums(from: Enum, to: Enum, walk: Walk): void {
  compareNames(from, to, walk)
  const lost = from.symbols.filter((symbol) => !to.symbols.includes(symbol))
  const added = to.symbols.filter((symbol) => !from.symbols.includes(symbol))
  if (lost.length > 0 && to.fallback !== null) safe(walk, `loses ${list(lost)}: older records read as ${to.fallback}`)
  else if (lost.length > 0) {
    unsafe(
      walk,
      `loses the enum symbol ${list(lost)}, which older records may hold`,
      `keep it, or give the enum a "default"`,
    )
  }
  if (added.length > 0) safe(walk, `takes ${list(added)} too`)
}

/** Two kinds of type: a promotion of Avro's, its reverse, or no relation. */
function comparePlain(from: AvroNode, to: AvroNode, walk: Walk): void {
  const [former, latter] = [typeLabel(from), typeLabel(to)]
  if (isPromotion(from, to)) return safe(walk, `is widened from ${former} to ${latter}`)
  if (isPromotion(to, from)) return unsafe(walk, `is narrowed from ${former} to ${latter}`, `keep ${former}`)
  unsafe(walk, `changes its type from ${former} to ${latter}`, 'add a field of another name and keep this one')
}

function compareLogical(from: AvroNode, to: AvroNode, walk: Walk): void {
  const [former, latter] = [logicalOf(from), logicalOf(to)]
  if (former === null || latter === null) {
    if (former !== latter) safe(walk, `is read as ${labelOf(latter, to)} instead of ${labelOf(former, from)}`)
    return
  }
  if (JSON.stringify(former) === JSON.stringify(latter)) return
  const widened =
    former.name === 'decimal' &&
    latter.name === 'decimal' &&
    former.scale === latter.scale &&
    former.precision < latter.precision
  if (widened) return safe(walk, `is widened from ${labelOf(former, from)} to ${labelOf(latter, to)}`)
  const what = `changes from ${labelOf(former, from)} to ${labelOf(latter, to)}, which would change older values`
  unsafe(walk, what, 'add a field of another name and keep this one')
}

type Name = { readonly name: string; readonly aliases: readonly string[] }

/** Names match without their namespaces, or by an alias of the new one. */
function compareNames(from: { readonly name: string }, to: Name, walk: Walk): void {
  if (bare(from.name) === bare(to.name)) return
  if (to.aliases.some((alias) => bare(alias) === bare(from.name))) {
    return safe(walk, `has its type ${bare(from.name)} renamed to ${bare(to.name)}, by its alias`)
  }
  unsafe(
    walk,
    `has its type ${bare(from.name)} renamed to ${bare(to.name)}`,
    `keep the name, or add "aliases": ["${bare(from.name)}"]`,
  )
}

const PROMOTIONS: ReadonlySet<string> = new Set([
  'int>long',
  'int>float',
  'int>double',
  'long>float',
  'long>double',
  'float>double',
  'string>bytes',
  'bytes>string',
])

const isPromotion = (from: AvroNode, to: AvroNode): boolean => PROMOTIONS.has(`${from.kind}>${to.kind}`)

function sameBranch(from: AvroNode, to: AvroNode): boolean {
  if (from.kind !== to.kind) return false
  if (!('name' in from) || !('name' in to)) return true
  return [to.name, ...to.aliases].some((name) => bare(name) === bare(from.name))
}

const branchesOf = (node: AvroNode): Union['branches'] => (node.kind === 'union' ? node.branches : [node])
const logicalOf = (node: AvroNode): Logical | null => ('logical' in node ? node.logical : null)
const bare = (name: string): string => name.slice(name.lastIndexOf('.') + 1)
const list = (symbols: readonly string[]): string => symbols.join(', ')

function labelOf(logical: Logical | null, node: AvroNode): string {
  if (logical === null) return typeLabel(node)
  if (logical.name === 'decimal') return `decimal(${logical.precision}, ${logical.scale})`
  return 'unit' in logical ? `${logical.name}-${logical.unit}` : logical.name
}

const into = (walk: Walk, step: string): Walk => ({ ...walk, path: [...walk.path, step] })

function safe({ found, path }: Walk, what: string): void {
  found.push({ path: path.join('.'), what, safe: true, way: null })
}

function unsafe({ found, path }: Walk, what: string, way: string | null): void {
  found.push({ path: path.join('.'), what, safe: false, way })
}
