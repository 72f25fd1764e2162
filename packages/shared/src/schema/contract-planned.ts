import type { ContractYaml, YamlPath } from './contract-yaml.ts'

/** An option of the design that is not built: refused by name, never ignored. */
export type PlannedOption = { readonly path: YamlPath; readonly line: number; readonly option: string }

type Json = Readonly<Record<string, unknown>>
type Rule = {
  /** Where to look; `*` is every element of a list. */
  readonly at: readonly string[]
  readonly planned: (value: unknown) => boolean
  readonly label: (value: unknown) => string
}

const INGEST_KINDS = ['stream']
const PROVIDERS = ['standard-webhooks', 'svix', 'stripe', 'shopify', 'slack', 'gitlab', 'twilio', 'paypal', 'hubspot']
const FORMATS = ['avro', 'json', 'ndjson', 'csv', 'orc', 'delta', 'iceberg']

const present = (value: unknown): boolean => value !== undefined
const oneOf =
  (values: readonly string[]) =>
  (value: unknown): boolean =>
    typeof value === 'string' && values.includes(value)

const RULES: readonly Rule[] = [
  { at: ['ingest', '*', 'kind'], planned: oneOf(INGEST_KINDS), label: (v) => `ingest kind ${String(v)}` },
  { at: ['ingest', '*', 'provider'], planned: oneOf(PROVIDERS), label: (v) => `webhook provider ${String(v)}` },
  { at: ['refine', 'state'], planned: present, label: () => 'state' },
  { at: ['lake', 'bronze', 'format'], planned: oneOf(FORMATS), label: (v) => `bronze format ${String(v)}` },
  { at: ['lake', 'bronze', 'columns'], planned: present, label: () => 'parsed columns of bronze' },
  { at: ['lake', 'bronze', 'parse'], planned: present, label: () => 'parsed columns of bronze' },
  { at: ['lake', 'silver', 'format'], planned: oneOf(FORMATS), label: (v) => `silver format ${String(v)}` },
  { at: ['lake', 'silver', 'table'], planned: present, label: (v) => `silver table ${String(v)}` },
  { at: ['lake', 'silver', 'partitionBy'], planned: present, label: () => 'silver partitionBy' },
  { at: ['warehouse', 'orderBy'], planned: present, label: () => 'warehouse orderBy' },
]

/** The planned options that a contract uses. */
export function plannedOptions(yaml: ContractYaml): PlannedOption[] {
  const found: PlannedOption[] = []
  for (const rule of RULES) {
    for (const { path, value } of lookUp(yaml.value, rule.at, [])) {
      if (rule.planned(value)) found.push({ path, line: yaml.lineOf(path), option: rule.label(value) })
    }
  }
  return found
}

/** True when a problem at `path` only follows from a planned option: the option itself, or its siblings in an ingest. */
export function followsFrom(planned: readonly PlannedOption[], path: YamlPath): boolean {
  return planned.some((option) => {
    const root = option.path[0] === 'ingest' ? option.path.slice(0, 2) : option.path
    return root.every((step, i) => String(step) === String(path[i]))
  })
}

function lookUp(value: unknown, at: readonly string[], path: YamlPath): { path: YamlPath; value: unknown }[] {
  const [step, ...rest] = at
  if (step === undefined) return [{ path, value }]
  if (step === '*') {
    return Array.isArray(value) ? value.flatMap((item, i) => lookUp(item, rest, [...path, i])) : []
  }
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return []
  return lookUp((value as Json)[step], rest, [...path, step])
}
