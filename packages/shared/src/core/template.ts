import { TEMPLATE_NAMES, type TemplateName } from './poll-rule.ts'

export type TemplateValue = string | number | null
export type TemplateValues = Readonly<Record<TemplateName, TemplateValue>>

const PLACE = /\{\{\s*([A-Za-z]*)\s*\}\}/g
const ALONE = /^\{\{\s*([A-Za-z]*)\s*\}\}$/

/** Names in `{{ }}` that mean nothing. */
export function unknownNames(template: string): string[] {
  const names = [...template.matchAll(PLACE)].map((match) => match[1]!)
  return names.filter((name) => !(TEMPLATE_NAMES as readonly string[]).includes(name))
}

export function usesName(template: string, name: TemplateName): boolean {
  return [...template.matchAll(PLACE)].some((match) => match[1] === name)
}

/** A template that is one name alone gives the value in its own type; null as soon as one of its names has no value. */
export function render(template: string, values: TemplateValues): TemplateValue {
  const alone = ALONE.exec(template)
  if (alone) return values[alone[1] as TemplateName] ?? null
  let missing = false
  const text = template.replaceAll(PLACE, (_all, name: TemplateName) => {
    const value = values[name] ?? null
    if (value === null) missing = true
    return String(value)
  })
  return missing ? null : text
}

/** The tree with every text rendered. Names of an object stay as they are. */
export function renderTree(tree: unknown, values: TemplateValues): unknown {
  if (typeof tree === 'string') return render(tree, values)
  if (Array.isArray(tree)) return tree.map((each) => renderTree(each, values))
  if (typeof tree !== 'object' || tree === null) return tree
  return Object.fromEntries(Object.entries(tree).map(([name, value]) => [name, renderTree(value, values)]))
}

/** Every text of a tree. */
export function textsOf(tree: unknown): string[] {
  if (typeof tree === 'string') return [tree]
  return typeof tree === 'object' && tree !== null ? Object.values(tree).flatMap(textsOf) : []
}
