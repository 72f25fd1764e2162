import type { AvroField, AvroNode, AvroRecord } from '@mesh/shared/schema/avro-schema'
import { typeLabel } from '@mesh/shared/schema/avro-schema'
import { isWrappedUnion } from '@mesh/shared/schema/value-model'

/** `read`: as consumers and joins see a record. `input`: all that refine.ts may return for it. */
type Form = 'read' | 'input'
type Named = ReadonlyMap<AvroNode, string>

export type AvroTypes = {
  /** Name of the top record's type; its input is `<name>Input`. */
  readonly name: string
  /** Every name that `text` declares. */
  readonly names: readonly string[]
  readonly text: string
}

/** Names that the declarations themselves need. */
const TAKEN: readonly string[] = ['Record', 'Readonly', 'Date', 'Uint8Array', 'Joins', 'Change']

/** TypeScript of a refined schema in the value model (@mesh/shared/schema/value-model). */
export function avroTypes(top: AvroRecord): AvroTypes {
  const records: AvroRecord[] = []
  const enums: AvroNode[] = []
  collect(top, records, enums)
  const names = nameAll([...records, ...enums])
  const differs = differingInputs(records)
  const lines: string[] = []
  for (const node of records) {
    const name = names.get(node)!
    lines.push(declaration(name, node, names, 'read'))
    const input = differs.has(node) ? declaration(`${name}Input`, node, names, 'input') : null
    lines.push(input ?? `export type ${name}Input = ${name}\n`)
  }
  for (const node of enums) {
    const symbols = node.kind === 'enum' ? node.symbols : []
    lines.push(`export type ${names.get(node)!} = ${symbols.map((symbol) => `'${symbol}'`).join(' | ')}\n`)
  }
  const declared = [...names].flatMap(([node, name]) => (node.kind === 'record' ? [name, `${name}Input`] : [name]))
  return { name: names.get(top)!, names: declared, text: lines.join('\n') }
}

function collect(node: AvroNode, records: AvroRecord[], enums: AvroNode[]): void {
  if (node.kind === 'array') collect(node.items, records, enums)
  if (node.kind === 'map') collect(node.values, records, enums)
  if (node.kind === 'union') for (const branch of node.branches) collect(branch, records, enums)
  if (node.kind === 'enum' && !enums.includes(node)) enums.push(node)
  if (node.kind !== 'record' || records.includes(node)) return
  records.push(node)
  for (const field of node.fields) collect(field.type, records, enums)
}

/** The bare name; where two types share it, the full name with `_` for dots. */
function nameAll(nodes: readonly AvroNode[]): Named {
  const bare = (node: AvroNode): string => typeLabel(node).slice(typeLabel(node).lastIndexOf('.') + 1)
  const names = new Map<AvroNode, string>()
  for (const node of nodes) {
    const name = bare(node)
    const shared = TAKEN.includes(name) || nodes.some((other) => other !== node && bare(other) === name)
    const full = typeLabel(node).replaceAll('.', '_')
    names.set(node, !shared ? name : full === name ? `${name}_` : full)
  }
  return names
}

/** The records whose input is wider than what is read, themselves or in a part. */
function differingInputs(records: readonly AvroRecord[]): Set<AvroRecord> {
  const differs = new Set<AvroRecord>()
  let before = -1
  // A recursive schema needs a fixed point.
  while (differs.size > before) {
    before = differs.size
    for (const record of records) {
      if (record.fields.some((field) => field.fallback !== undefined || isWider(field.type, differs)))
        differs.add(record)
    }
  }
  return differs
}

function isWider(node: AvroNode, differs: ReadonlySet<AvroNode>): boolean {
  if (node.kind === 'array') return isWider(node.items, differs)
  if (node.kind === 'map') return isWider(node.values, differs)
  if (node.kind === 'union') return node.branches.some((branch) => isWider(branch, differs))
  if (node.kind === 'record') return differs.has(node)
  const logical = 'logical' in node ? node.logical : null
  return logical?.name === 'decimal' || logical?.name === 'timestamp'
}

function declaration(name: string, node: AvroRecord, names: Named, form: Form): string {
  const fields = node.fields.map((field) => {
    const optional = form === 'input' && field.fallback !== undefined ? '?' : ''
    return `${comment(field)}  readonly ${field.name}${optional}: ${typeOf(field.type, names, form)}\n`
  })
  return `export type ${name} = {\n${fields.join('')}}\n`
}

function comment({ doc, type }: AvroField): string {
  const note = [doc, noteOf(type)].filter((text) => text !== null && text !== '').join(' · ')
  return note === '' ? '' : `  /** ${note.replaceAll('*/', '* /').replaceAll(/\s+/g, ' ')} */\n`
}

/** What a type's text form is, where TypeScript cannot say it. */
function noteOf(node: AvroNode): string | null {
  if (node.kind === 'union') {
    const others = node.branches.filter((branch) => branch.kind !== 'null')
    return others.length === 1 ? noteOf(others[0]!) : null
  }
  const logical = 'logical' in node ? node.logical : null
  switch (logical?.name) {
    case 'decimal':
      return `decimal(${logical.precision}, ${logical.scale})`
    case 'date':
      return 'YYYY-MM-DD'
    case 'time':
      return 'HH:mm:ss.ffffff'
    case 'timestamp':
      return `ISO 8601 with offset, ${logical.unit}`
    case 'local-timestamp':
      return `ISO 8601 without offset, ${logical.unit}`
    case 'uuid':
      return 'UUID'
    case undefined:
      return null
    default:
      return logical satisfies never
  }
}

function typeOf(node: AvroNode, names: Named, form: Form): string {
  const logical = 'logical' in node ? node.logical : null
  if (logical) {
    if (form === 'read') return 'string'
    if (logical.name === 'decimal') return 'string | number | bigint'
    return logical.name === 'timestamp' ? 'string | Date' : 'string'
  }
  switch (node.kind) {
    case 'null':
    case 'boolean':
    case 'string':
      return node.kind
    case 'int':
    case 'float':
    case 'double':
      return 'number'
    case 'long':
      return 'number | bigint'
    case 'bytes':
    case 'fixed':
      return 'Uint8Array'
    case 'enum':
      return names.get(node)!
    case 'record':
      return `${names.get(node)!}${form === 'input' ? 'Input' : ''}`
    case 'array': {
      const items = typeOf(node.items, names, form)
      return `readonly ${items.includes(' ') ? `(${items})` : items}[]`
    }
    case 'map':
      return `Readonly<Record<string, ${typeOf(node.values, names, form)}>>`
    case 'union':
      return unionOf(node.branches, names, form)
    default:
      return node satisfies never
  }
}

function unionOf(branches: readonly AvroNode[], names: Named, form: Form): string {
  const values = branches.filter((branch) => branch.kind !== 'null')
  const wrapped = isWrappedUnion(branches)
  const types = values.map((branch) => {
    // Among several branches a value's kind says which one it is, and there a decimal is a text.
    const type = values.length > 1 && form === 'input' && isDecimal(branch) ? 'string' : typeOf(branch, names, form)
    return wrapped ? `{ readonly ${labelOf(branch)}: ${type} }` : type
  })
  if (values.length < branches.length) types.push('null')
  return [...new Set(types.flatMap((type) => (type.startsWith('{') ? [type] : type.split(' | '))))].join(' | ')
}

const isDecimal = (node: AvroNode): boolean => 'logical' in node && node.logical?.name === 'decimal'

function labelOf(node: AvroNode): string {
  const label = typeLabel(node)
  return label.includes('.') ? `'${label}'` : label
}
