/** A node of the tree that DuckDB's `json_serialize_sql` makes of a statement. */
export type SqlTree = Readonly<Record<string, unknown>>

/** How a column is made: as it is, by an expression, or over many rows. */
export type Derivation = 'identity' | 'transformation' | 'aggregation'

export type ColumnSource = { readonly relation: string; readonly column: string }

export type SelectedColumn = {
  readonly name: string
  /** Empty: it is made of no column (a constant, a count of rows). */
  readonly sources: readonly ColumnSource[]
  readonly derivation: Derivation
}

/** Columns of a relation outside of the statement, or null when they are not known. */
export type RelationColumns = (relation: string) => readonly string[] | null

type Scope = ReadonlyMap<string, Relation>
type Relation = { readonly columns: readonly SelectedColumn[] | null; readonly outside: string | null }

const AGGREGATES: ReadonlySet<string> = new Set(
  'count count_star sum min max avg mean median mode stddev variance arg_min arg_max first last any_value string_agg list'.split(
    ' ',
  ),
)

/**
 * Where the columns of a plain select come from: common table expressions, joins and expressions over columns. Null for whatever
 * cannot be told for certain (set operations, subqueries, a name that may belong to two relations): no guess is ever made.
 */
export function selectColumns(node: SqlTree, relationColumns: RelationColumns): SelectedColumn[] | null {
  return selectIn(node, new Map(), relationColumns)
}

function selectIn(node: SqlTree, outer: Scope, relationColumns: RelationColumns): SelectedColumn[] | null {
  if (node['type'] !== 'SELECT_NODE') return null
  const named = new Map(outer)
  for (const { key, value } of list(tree(node['cte_map'])['map']) as { key: string; value: SqlTree }[]) {
    const columns = selectIn(tree(tree(value['query'])['node']), named, relationColumns)
    named.set(key.toLowerCase(), { columns, outside: null })
  }
  const from = relationsOf(tree(node['from_table']), named, relationColumns)
  if (from === null) return null
  const selected: SelectedColumn[] = []
  for (const expression of list(node['select_list'])) {
    const columns = expression['class'] === 'STAR' ? starColumns(expression, from) : oneColumn(expression, from)
    if (columns === null) return null
    selected.push(...columns)
  }
  return selected
}

/** Relations by the name that the select knows them by, or null. */
function relationsOf(table: SqlTree, named: Scope, relationColumns: RelationColumns): Map<string, Relation> | null {
  if (table['type'] === 'EMPTY') return new Map()
  if (table['type'] === 'BASE_TABLE') {
    const name = text(table['table_name'])
    const alias = text(table['alias']) || name
    return new Map([[alias.toLowerCase(), named.get(name.toLowerCase()) ?? outsideRelation(name, relationColumns)]])
  }
  if (table['type'] !== 'JOIN') return null
  const left = relationsOf(tree(table['left']), named, relationColumns)
  const right = relationsOf(tree(table['right']), named, relationColumns)
  return left === null || right === null ? null : new Map([...left, ...right])
}

function outsideRelation(name: string, relationColumns: RelationColumns): Relation {
  const columns = relationColumns(name)
  if (columns === null) return { columns: null, outside: name }
  const own = columns.map((column) => ({
    name: column,
    sources: [{ relation: name, column }],
    derivation: 'identity' as const,
  }))
  return { columns: own, outside: name }
}

function starColumns(expression: SqlTree, from: Map<string, Relation>): SelectedColumn[] | null {
  if (list(expression['exclude_list']).length > 0 || list(expression['replace_list']).length > 0) return null
  const only = text(expression['relation_name'])
  const relations = only === '' ? [...from.values()] : [from.get(only.toLowerCase())]
  const columns = relations.map((relation) => relation?.columns ?? null)
  return columns.some((each) => each === null) ? null : columns.flatMap((each) => each!)
}

function oneColumn(expression: SqlTree, from: Map<string, Relation>): SelectedColumn[] | null {
  const inner = expression['class'] === 'COLUMN_REF' ? expression : null
  const name = text(expression['alias']) || (inner ? (names(inner['column_names']).at(-1) ?? '') : '')
  if (name === '') return null
  const found = { sources: [] as ColumnSource[], derivation: (inner ? 'identity' : 'transformation') as Derivation }
  if (!collect(expression, from, found)) return null
  const unique = new Map(found.sources.map((source) => [`${source.relation}\0${source.column}`, source]))
  return [{ name, sources: [...unique.values()], derivation: found.derivation }]
}

type Found = { sources: ColumnSource[]; derivation: Derivation }

/** Every column of an expression, window and filter clauses among them. False when one cannot be told. */
function collect(value: unknown, from: Map<string, Relation>, found: Found): boolean {
  if (Array.isArray(value)) return value.every((each) => collect(each, from, found))
  if (typeof value !== 'object' || value === null) return true
  const node = value as SqlTree
  if (node['class'] === 'SUBQUERY' || node['class'] === 'LAMBDA' || node['class'] === 'STAR') return false
  if (node['class'] === 'COLUMN_REF') {
    const column = resolve(names(node['column_names']), from)
    if (column === null) return false
    found.sources.push(...column.sources)
    if (rank(column.derivation) > rank(found.derivation)) found.derivation = column.derivation
    return true
  }
  if (node['class'] === 'FUNCTION' && AGGREGATES.has(text(node['function_name']))) found.derivation = 'aggregation'
  return Object.values(node).every((each) => collect(each, from, found))
}

function resolve(path: readonly string[], from: Map<string, Relation>): SelectedColumn | null {
  const column = path.at(-1)!
  const relation = path.length > 1 ? from.get(path.at(-2)!.toLowerCase()) : only(from, column)
  if (!relation) return null
  const known = relation.columns?.find(({ name }) => name.toLowerCase() === column.toLowerCase())
  if (known) return known
  // What is not listed may still be there (the mesh's own columns of a landing table), where the relation is a table.
  if (relation.outside === null) return null
  return { name: column, sources: [{ relation: relation.outside, column }], derivation: 'identity' }
}

function only(from: Map<string, Relation>, column: string): Relation | null {
  const relations = [...from.values()]
  if (relations.length === 1) return relations[0]!
  if (relations.some(({ columns }) => columns === null)) return null
  const holding = relations.filter(({ columns }) =>
    columns!.some(({ name }) => name.toLowerCase() === column.toLowerCase()),
  )
  return holding.length === 1 ? holding[0]! : null
}

const rank = (derivation: Derivation): number => ['identity', 'transformation', 'aggregation'].indexOf(derivation)
const tree = (value: unknown): SqlTree => (value ?? {}) as SqlTree
const list = (value: unknown): SqlTree[] => (Array.isArray(value) ? (value as SqlTree[]) : [])
const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const names = (value: unknown): string[] => (Array.isArray(value) ? value.map(text) : [])
