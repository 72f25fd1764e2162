import type { PrivacyRule } from '../core/contract.ts'
import { pointerTokens } from '../core/json-pointer.ts'
import type { AvroNode, AvroRecord } from './avro-schema.ts'
import type { YamlPath } from './contract-yaml.ts'

type RawRule = { readonly at: string; readonly as: PrivacyRule['as']; readonly subject?: string }

/** What the privacy rules of a contract cannot be: each problem at its place in the contract. */
export function checkPrivacy(
  fields: readonly RawRule[],
  refined: AvroRecord,
  report: (path: YamlPath, reason: string) => void,
): void {
  const seen = new Set<string>()
  fields.forEach(({ at, as, subject }, i) => {
    const path: YamlPath = ['privacy', 'fields', i]
    if (seen.has(at)) report([...path, 'at'], `two rules are for ${at}`)
    seen.add(at)
    const field = fieldAt(refined, at)
    if (typeof field === 'string') report([...path, 'at'], `${at}: ${field}`)
    else if (!isPlain(field))
      report([...path, 'at'], `${at} is no plain string or bytes (nullable or not): only those can be protected`)
    if (as === 'hash') {
      if (subject !== undefined)
        report([...path, 'subject'], '`subject` belongs to token and encrypt: a hash is under the key alone')
      return
    }
    if (subject === undefined)
      return report(path, `\`as: ${as}\` needs \`subject\`: the field that says whose value it is`)
    const whose = fieldAt(refined, subject)
    if (typeof whose === 'string') report([...path, 'subject'], `${subject}: ${whose}`)
    else if (!isName(whose))
      report([...path, 'subject'], `${subject} is no string, int or long: it cannot name a subject`)
  })
}

/** The type at a pointer, without its null; a text says why there is none. */
function fieldAt(record: AvroRecord, pointer: string): AvroNode | string {
  let node: AvroNode = record
  for (const token of pointerTokens(pointer)) {
    if (node.kind !== 'record') return 'only fields of records can be pointed to'
    const field: AvroNode | undefined = node.fields.find(({ name }) => name === token)?.type
    if (!field) return `${node.name} has no field ${token}`
    node = withoutNull(field)
  }
  return node
}

function withoutNull(node: AvroNode): AvroNode {
  if (node.kind !== 'union') return node
  const others = node.branches.filter(({ kind }) => kind !== 'null')
  return others.length === 1 ? others[0]! : node
}

const isPlain = (node: AvroNode): boolean => (node.kind === 'string' || node.kind === 'bytes') && node.logical === null
const isName = (node: AvroNode): boolean =>
  node.kind === 'string' || ((node.kind === 'int' || node.kind === 'long') && node.logical === null)
