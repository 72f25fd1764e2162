import { MeshError } from '@mesh/shared/core/errors'
import type { DbtManifest, DbtModel } from '@mesh/shared/lineage/dbt-manifest'
import { parse } from 'yaml'

export type Metric = {
  readonly name: string
  readonly label: string
  readonly model: string
  readonly type: 'sum' | 'average' | 'ratio'
  readonly of: string
  /** average: the column that says how often a row counts. */
  readonly weight?: string
  /** ratio: the column below the line. */
  readonly over?: string
  readonly format: 'integer' | 'decimal' | 'percent'
  readonly description: string
}

export type Board = {
  readonly name: string
  readonly type: 'dashboard' | 'analysis' | 'notebook' | 'ml' | 'application'
  readonly maturity: 'high' | 'medium' | 'low'
  readonly description: string
  readonly owner: { readonly name: string; readonly email: string }
  readonly metrics: readonly string[]
  readonly models?: readonly string[]
}

export type Metrics = { readonly metrics: readonly Metric[]; readonly boards: readonly Board[] }

const NAME = /^[a-z][a-z0-9_]*$/
const KEYS: Readonly<Record<Metric['type'], readonly string[]>> = { sum: [], average: ['weight'], ratio: ['over'] }
const COMMON = ['name', 'label', 'model', 'type', 'of', 'format', 'description']
const FORMATS: readonly string[] = ['integer', 'decimal', 'percent']
const BOARD = ['name', 'type', 'maturity', 'description', 'owner', 'metrics', 'models']

/** @throws MeshError MESH_BI_INVALID with every problem that there is, one a line */
export function parseMetrics(text: string): Metrics {
  const file = parse(text) as Partial<Metrics> | null
  const metrics = file?.metrics ?? []
  const boards = file?.boards ?? []
  const problems = [...metrics.flatMap(metricProblems), ...boards.flatMap((board) => boardProblems(board, metrics))]
  const names = [...metrics.map(({ name }) => name), ...boards.map(({ name }) => name)]
  for (const name of new Set(names))
    if (names.filter((each) => each === name).length > 1) problems.push(`${name} is there twice`)
  refuse(problems)
  return { metrics, boards }
}

function metricProblems(metric: Metric): string[] {
  const { name } = metric
  if (!NAME.test(name ?? '')) return [`a metric is called ${name}: lower case, digits and _`]
  const extra = KEYS[metric.type]
  if (!extra) return [`${name}: type is sum, average or ratio, not ${metric.type}`]
  const wanted = [...COMMON, ...extra]
  const given: string[] = Object.keys(metric)
  return [
    ...wanted.filter((key) => !given.includes(key)).map((key) => `${name}: ${key} is missing`),
    ...given.filter((key) => !wanted.includes(key)).map((key) => `${name}: ${metric.type} has no ${key}`),
    ...(FORMATS.includes(metric.format) ? [] : [`${name}: format is ${FORMATS.join(', ')}, not ${metric.format}`]),
  ]
}

function boardProblems(board: Board, metrics: readonly Metric[]): string[] {
  const { name } = board
  if (!NAME.test(name ?? '')) return [`a board is called ${name}: lower case, digits and _`]
  const unknown = Object.keys(board).filter((key) => !BOARD.includes(key))
  const missing = BOARD.filter((key) => key !== 'models' && !(key in board))
  const strangers = (board.metrics ?? []).filter((metric) => !metrics.some((each) => each.name === metric))
  return [
    ...missing.map((key) => `${name}: ${key} is missing`),
    ...unknown.map((key) => `${name}: a board has no ${key}`),
    ...strangers.map((metric) => `${name}: there is no metric ${metric}`),
  ]
}

/** Models that a board reads, in the order that it names them. */
export function modelsOf({ metrics: names, models = [] }: Board, { metrics }: Pick<Metrics, 'metrics'>): string[] {
  const own = names.flatMap((name) => metrics.find((metric) => metric.name === name)?.model ?? [])
  return [...new Set([...own, ...models])]
}

/** The models that metrics and boards speak of. @throws MeshError MESH_BI_INVALID where one, or a column of it, is not in dbt's manifest */
export function goldModels(definitions: Metrics, manifest: DbtManifest): DbtModel[] {
  const names = new Set([
    ...definitions.metrics.map(({ model }) => model),
    ...definitions.boards.flatMap((board) => modelsOf(board, definitions)),
  ])
  const problems: string[] = []
  const models = [...names].sort().flatMap((name) => {
    const model = manifest.models.find((each) => each.name === name)
    if (!model) problems.push(`dbt has no model ${name}`)
    return model ?? []
  })
  for (const { name, model: of, ...metric } of definitions.metrics) {
    const model = models.find((each) => each.name === of)
    for (const column of [metric.of, metric.weight, metric.over]) {
      if (!model || column === undefined || model.columns.some((each) => each.name === column)) continue
      problems.push(`${name}: ${of} has no column ${column}`)
    }
  }
  refuse(problems)
  return models
}

function refuse(problems: readonly string[]): void {
  if (problems.length > 0) throw new MeshError('MESH_BI_INVALID', `transforms/dbt/metrics.yaml: ${problems.join('\n')}`)
}
