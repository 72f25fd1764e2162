/** The part of dbt's `manifest.json` (schema v12) that lineage and the BI files are made from. */
export type DbtManifest = {
  readonly models: readonly DbtModel[]
  readonly sources: readonly DbtSource[]
  readonly exposures: readonly DbtExposure[]
}

export type DbtColumn = { readonly name: string; readonly type: string | null; readonly description: string }

export type DbtModel = {
  readonly id: string
  readonly name: string
  readonly description: string
  /** `ephemeral` models are part of those that read them and are no table. */
  readonly materialized: string
  readonly columns: readonly DbtColumn[]
  /** Ids of models and sources. */
  readonly dependsOn: readonly string[]
  /** SQL with Jinja. */
  readonly code: string
}

export type DbtSource = {
  readonly id: string
  readonly name: string
  readonly identifier: string
  readonly columns: readonly DbtColumn[]
}

export type DbtExposure = {
  readonly name: string
  readonly type: string
  readonly description: string
  readonly owner: string
  readonly dependsOn: readonly string[]
}

type Node = {
  readonly resource_type: string
  readonly unique_id: string
  readonly name: string
  readonly description?: string
  readonly identifier?: string
  readonly raw_code?: string
  readonly type?: string
  readonly owner?: { readonly email?: string | null; readonly name?: string | null }
  readonly config?: { readonly materialized?: string }
  readonly columns?: Readonly<Record<string, { name: string; data_type?: string | null; description?: string }>>
  readonly depends_on?: { readonly nodes?: readonly string[] }
}

/** @param json the parsed text of `manifest.json`. @throws TypeError when it is none */
export function readManifest(json: unknown): DbtManifest {
  const file = json as Partial<Record<'nodes' | 'sources' | 'exposures', Readonly<Record<string, Node>>>> | null
  if (!file?.nodes || !file.sources) throw new TypeError('this is no dbt manifest: it has no nodes or sources')
  const models = Object.values(file.nodes).filter((node) => node.resource_type === 'model')
  return {
    models: byId(models).map((node) => ({
      id: node.unique_id,
      name: node.name,
      description: node.description ?? '',
      materialized: node.config?.materialized ?? 'view',
      columns: columnsOf(node),
      dependsOn: [...(node.depends_on?.nodes ?? [])].sort(),
      code: node.raw_code ?? '',
    })),
    sources: byId(Object.values(file.sources)).map((node) => ({
      id: node.unique_id,
      name: node.name,
      identifier: node.identifier ?? node.name,
      columns: columnsOf(node),
    })),
    exposures: byId(Object.values(file.exposures ?? {})).map((node) => ({
      name: node.name,
      type: node.type ?? '',
      description: node.description ?? '',
      owner: node.owner?.email ?? node.owner?.name ?? '',
      dependsOn: [...(node.depends_on?.nodes ?? [])].sort(),
    })),
  }
}

const byId = (nodes: readonly Node[]): Node[] => nodes.toSorted((a, b) => (a.unique_id < b.unique_id ? -1 : 1))

const columnsOf = ({ columns = {} }: Node): DbtColumn[] =>
  Object.values(columns).map(({ name, data_type, description }) => ({
    name,
    type: data_type ?? null,
    description: description ?? '',
  }))
