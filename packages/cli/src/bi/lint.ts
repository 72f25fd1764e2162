import type { DbtModel } from '@mesh/shared/lineage/dbt-manifest'

/** A structural check of the generated files, of what can be told without Looker and Power BI: it is no proof that they load. */
export function lintLookml(path: string, text: string, models: readonly DbtModel[]): string[] {
  const problems: string[] = []
  const bare = text.replaceAll(/"(?:\\.|[^"\\])*"/g, '""').replaceAll(/#.*$/gm, '')
  let open = 0
  for (const sign of bare.replaceAll(/[$@]\{\w+\}/g, '')) {
    if (sign === '{') open++
    if (sign === '}' && --open < 0) break
  }
  if (open !== 0) problems.push(`${path}: braces do not balance`)
  for (const [line] of text.matchAll(/^\s+sql(?:_table_name)?:.*$/gm)) {
    if (!line.endsWith(' ;;')) problems.push(`${path}: '${line.trim()}' does not end with ;;`)
  }
  const view = /^view: (\w+) \{/m.exec(text)?.[1]
  if (view !== undefined) {
    const known = columnsOf(view, models)
    for (const [, column] of text.matchAll(/\$\{TABLE\}\."(\w+)"/g)) {
      if (!known.has(column!.toLowerCase())) problems.push(`${path}: ${view} has no column ${column}`)
    }
    const fields = [...text.matchAll(/^ {2}(?:dimension|dimension_group|measure): (\w+) \{/gm)].map(
      (match) => match[1]!,
    )
    for (const name of fields)
      if (fields.indexOf(name) !== fields.lastIndexOf(name)) problems.push(`${path}: ${name} is there twice`)
  }
  for (const [, name] of text.matchAll(/^explore: (\w+) \{/gm)) {
    if (!models.some((model) => model.name === name)) problems.push(`${path}: there is no view ${name}`)
  }
  return [...new Set(problems)]
}

export function lintTmdl(path: string, text: string, models: readonly DbtModel[]): string[] {
  const problems: string[] = []
  let before = 0
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue
    const level = /^\t*/.exec(line)![0].length
    if (/^\t* /.test(line)) problems.push(`${path}: '${line.trim()}' is indented with blanks`)
    // The expression of a partition stands one level deeper than a property would.
    if (level > before + 2) problems.push(`${path}: '${line.trim()}' is more than two levels below its parent`)
    before = level
  }
  if (count(text, '(') !== count(text, ')') || count(text, '[') !== count(text, ']'))
    problems.push(`${path}: brackets do not balance`)
  const table = /^table (\w+)/m.exec(text)?.[1]
  if (table !== undefined) {
    const known = columnsOf(table, models)
    const named = [
      ...text.matchAll(/^\t\tsourceColumn: (\w+)$/gm),
      ...text.matchAll(new RegExp(`\\b${table}\\[(\\w+)\\]`, 'g')),
    ]
    for (const [, column] of named) {
      if (!known.has(column!.toLowerCase())) problems.push(`${path}: ${table} has no column ${column}`)
    }
    const members = [...text.matchAll(/^\t(?:measure|column) ('[^']+'|\w+)/gm)].map((match) =>
      match[1]!.replaceAll("'", '').toLowerCase(),
    )
    for (const name of members)
      if (members.indexOf(name) !== members.lastIndexOf(name)) problems.push(`${path}: ${name} is there twice`)
  }
  for (const [, name] of text.matchAll(/^ref table (\w+)$/gm)) {
    if (!models.some((model) => model.name === name)) problems.push(`${path}: there is no table ${name}`)
  }
  return [...new Set(problems)]
}

function columnsOf(name: string, models: readonly DbtModel[]): Set<string> {
  return new Set(models.find((model) => model.name === name)?.columns.map((column) => column.name.toLowerCase()))
}

const count = (text: string, sign: string): number => text.split(sign).length - 1
