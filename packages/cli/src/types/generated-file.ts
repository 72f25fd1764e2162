import type { Contract, JoinRule } from '@mesh/shared/core/contract'
import { MeshError } from '@mesh/shared/core/errors'
import { parseRecordAvsc } from '@mesh/shared/schema/avro-schema'
import type { StreamFolder } from '@mesh/shared/schema/stream-folder'
import { avroTypes } from './avro-types.ts'
import { rawTypes } from './raw-types.ts'

export const GENERATED = 'generated.ts'

/** What types need to know of a stream. */
export type TypedStream = Pick<StreamFolder, 'contract' | 'refinedAvsc' | 'rawSchema'>

/**
 * The text of a stream's generated.ts: the event as received, the refined record, the rows it joins.
 * @param joined the streams that it joins, by name @throws MeshError MESH_CONTRACT_SCHEMA
 */
export async function generatedFile(stream: TypedStream, joined: ReadonlyMap<string, TypedStream>): Promise<string> {
  const { contract, rawSchema } = stream
  const refined = avroTypes(parseRecordAvsc(stream.refinedAvsc))
  const isChange = contract.ingest.some(({ kind }) => kind === 'cdc')
  const rawName = `Raw${refined.name}`
  const place = `streams/${contract.name}/raw.schema.json`
  const schemaName = isChange ? `${rawName}Row` : rawName
  const schemaTypes = rawSchema === null ? null : await rawTypes(rawSchema, schemaName, place)
  checkNames(schemaTypes ?? '', [...refined.names, 'Joins', ...(isChange ? ['Change', rawName] : [])], place)
  const joins = joinsOf(contract, refined.name, joined)
  const imports = [...(isChange ? [`import type { Change } from '@mesh/client/refine'`] : []), ...joins.imports]
  const parts = [
    '// Written by `mesh streams generate` from stream.yaml, refined.avsc and raw.schema.json: change those and run it again.',
    ...(imports.length > 0 ? [imports.join('\n')] : []),
    rawPart(rawName, { isChange, schemaTypes }),
    `// refined.avsc: as it is read; as refine.ts may return it (…Input).\n${refined.text.trim()}`,
    `/** The joined rows of stream.yaml, by name. */\nexport type Joins = ${joins.type}`,
  ]
  return `${parts.join('\n\n')}\n`
}

/** Of a change stream raw.schema.json describes the row; of any other the event. Without it nothing is known. */
function rawPart(
  rawName: string,
  { isChange, schemaTypes }: { isChange: boolean; schemaTypes: string | null },
): string {
  if (!isChange) {
    return schemaTypes === null
      ? `/** The event as it is received: a raw.schema.json would say more. */\nexport type ${rawName} = unknown`
      : `// raw.schema.json: the event as it is received.\n${schemaTypes}`
  }
  if (schemaTypes === null)
    return `/** A change of a row: a raw.schema.json of the row would say more. */\nexport type ${rawName} = Change`
  return `// raw.schema.json: the row.\n${schemaTypes}\n\nexport type ${rawName} = Change<${rawName}Row>`
}

/** A declaration of the raw schema that has the name of another type would not compile. */
function checkNames(text: string, names: readonly string[], place: string): void {
  for (const [, name] of text.matchAll(/^export (?:type|interface) (\w+)/gm)) {
    if (!names.includes(name!)) continue
    throw new MeshError(
      'MESH_CONTRACT_SCHEMA',
      `${place}: a definition makes the type ${name}, which is taken: give it another title`,
      { place },
    )
  }
}

function joinsOf(
  { refine, ingest }: Contract,
  ownName: string,
  joined: ReadonlyMap<string, TypedStream>,
): { type: string; imports: string[] } {
  const used = new Set([ownName])
  const names = new Map<string, string>()
  const imports: string[] = []
  for (const { stream } of refine.joins) {
    if (names.has(stream)) continue
    const name = avroTypes(parseRecordAvsc(joined.get(stream)!.refinedAvsc)).name
    const local = used.has(name) ? `${name}Of${pascal(stream)}` : name
    used.add(local)
    names.set(stream, local)
    imports.push(`import type { ${local === name ? name : `${name} as ${local}`} } from '../${stream}/${GENERATED}'`)
  }
  const lookups = refine.lookups ?? []
  if (refine.joins.length + lookups.length === 0) return { type: 'Readonly<Record<never, never>>', imports }
  const isChange = ingest.some(({ kind }) => kind === 'cdc')
  const fields = refine.joins.map((rule) => {
    const orNull = isChange || mayMiss(rule) ? ' | null' : ''
    return `  readonly ${rule.as}: ${names.get(rule.stream)!}${orNull}\n`
  })
  for (const { as, onMissing } of lookups) {
    const orNull = isChange || onMissing !== 'dead-letter' ? ' | null' : ''
    fields.push(`  /** An HTTP answer. */\n  readonly ${as}: Readonly<Record<string, unknown>>${orNull}\n`)
  }
  return { type: `{\n${fields.join('')}}`, imports: imports.toSorted() }
}

/** A row that is missing makes the event a dead letter, or refine.ts gets null. */
function mayMiss({ onMissing }: JoinRule): boolean {
  return (typeof onMissing === 'object' ? onMissing.giveUp : onMissing) !== 'dead-letter'
}

const pascal = (name: string): string =>
  name
    .split('-')
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join('')
