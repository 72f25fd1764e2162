import type { DbtManifest, DbtModel } from './dbt-manifest.ts'
import { type ColumnSource, type SelectedColumn, type SqlTree, selectColumns } from './select-columns.ts'

/** What warehouse-sink adds to the columns of a stream in every landing table. */
const LANDING_COLUMNS: readonly string[] =
  '_op _key _lane _topic_id _partition _offset _index _event_id _event_time _schema_id _hash _version'.split(' ')

/** Columns of a model and where they come from: `relation` of a source is the id of a model or source in the manifest. */
export type ModelLineage = {
  readonly model: DbtModel
  /** Null: the SQL is no plain select, only the tables it reads are known. */
  readonly columns: readonly SelectedColumn[] | null
}

/** Parses select statements, null for what is none. */
export type ParseSelects = (statements: readonly string[]) => Promise<readonly (SqlTree | null)[]>

/** Column lineage of every model, by id. A model that cannot be told makes those that read its `*` untold too. */
export async function modelLineage(manifest: DbtManifest, parse: ParseSelects): Promise<Map<string, ModelLineage>> {
  const names = new Map([
    ...manifest.models.map(({ id, name }) => [modelAlias(name), id] as const),
    ...manifest.sources.map(({ id, name }) => [sourceAlias(name), id] as const),
  ])
  const trees = await parse(manifest.models.map(({ code }) => plainSql(code)))
  const done = new Map<string, ModelLineage>()
  const waiting = manifest.models.map((model, i) => ({ model, tree: trees[i] ?? null }))
  // Those that are read come first; dbt refuses circles.
  while (waiting.length > 0) {
    const next = waiting.findIndex(({ model }) => !model.dependsOn.some((id) => waiting.some((w) => w.model.id === id)))
    const [{ model, tree }] = waiting.splice(Math.max(0, next), 1) as [(typeof waiting)[number]]
    const columns = tree === null ? null : selectColumns(tree, (alias) => columnsOf(names.get(alias)))
    done.set(model.id, { model, columns: columns === null ? null : withIds(columns, names) })
  }

  function columnsOf(id: string | undefined): readonly string[] | null {
    if (id === undefined) return null
    const source = manifest.sources.find((each) => each.id === id)
    return source
      ? [...source.columns.map(({ name }) => name), ...LANDING_COLUMNS]
      : (done.get(id)?.columns?.map(({ name }) => name) ?? null)
  }
  return done
}

/** The columns of a model down to its sources' and tables' columns: ephemeral models are seen through. */
export function tableSources(column: SelectedColumn, lineage: ReadonlyMap<string, ModelLineage>): SelectedColumn {
  const sources: ColumnSource[] = []
  let { derivation } = column
  for (const source of column.sources) {
    const read = lineage.get(source.relation)
    if (read?.model.materialized !== 'ephemeral') {
      sources.push(source)
      continue
    }
    const inner = read.columns?.find(({ name }) => name.toLowerCase() === source.column.toLowerCase())
    if (!inner) continue
    const through = tableSources(inner, lineage)
    sources.push(...through.sources)
    if (derivation === 'identity') derivation = through.derivation
  }
  const unique = new Map(sources.map((source) => [`${source.relation}.${source.column}`, source]))
  return { name: column.name, sources: [...unique.values()], derivation }
}

/** Names that stand in the SQL for what `ref` and `source` give. */
const modelAlias = (name: string): string => `model__${name}`
const sourceAlias = (name: string): string => `source__${name}`

/**
 * The SQL of a model with its Jinja taken out: relations get names, every other expression becomes a constant (it adds no column
 * of a table that is not named), statements and comments go. Enough for the select list; the predicates are not kept.
 */
export function plainSql(code: string): string {
  return code
    .replaceAll(/\{#[\s\S]*?#\}/g, ' ')
    .replaceAll(/\{%-?\s*if\b[\s\S]*?\{%-?\s*endif\s*-?%\}/g, ' ')
    .replaceAll(/\{%[\s\S]*?%\}/g, ' ')
    .replaceAll(/^\s*\{\{\s*config\([\s\S]*?\)\s*\}\}/g, ' ')
    .replaceAll(/\{\{-?\s*ref\(\s*'(\w+)'\s*\)\s*-?\}\}/g, (_, name: string) => modelAlias(name))
    .replaceAll(/\{\{-?\s*(?:mesh_landing\(\s*|source\(\s*'landing'\s*,\s*)'(\w+)'\s*\)\s*-?\}\}/g, (_, name: string) =>
      sourceAlias(name),
    )
    .replaceAll(/'\{\{[\s\S]*?\}\}'/g, "'jinja'")
    .replaceAll(/\bas\s+\{\{\s*dbt\.type_string\(\)\s*\}\}/g, 'as varchar')
    .replaceAll(/\{\{[\s\S]*?\}\}/g, 'true')
    .trim()
}

function withIds(columns: readonly SelectedColumn[], names: ReadonlyMap<string, string>): SelectedColumn[] | null {
  const known = columns.every(({ sources }) => sources.every(({ relation }) => names.has(relation)))
  if (!known) return null
  return columns.map((column) => ({
    ...column,
    sources: column.sources.map(({ relation, column: name }) => ({ relation: names.get(relation)!, column: name })),
  }))
}
