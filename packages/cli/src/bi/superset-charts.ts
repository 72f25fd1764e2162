import type { DbtModel } from '@mesh/shared/lineage/dbt-manifest'
import { type Board, type Metric, type Metrics, modelsOf } from './metrics.ts'

export type Chart = {
  /** Its file's name and, hashed, its id. */
  readonly file: string
  readonly title: string
  readonly description: string
  readonly model: string
  /** Superset's `viz_type`. */
  readonly kind: 'big_number_total' | 'echarts_timeseries_line' | 'table'
  readonly small: boolean
  /** As the chart's editor keeps it. */
  readonly params: Readonly<Record<string, unknown>>
  /** The same as one query of `POST /api/v1/chart/data`. */
  readonly query: Readonly<Record<string, unknown>>
}

const ROWS = 100

/** Of a board: a number per metric; of each model it has metrics of, a line over its days if it has a day, and a table by its names. */
export function boardCharts(board: Board, models: readonly DbtModel[], definitions: Metrics): Chart[] {
  const metrics = board.metrics.map((name) => definitions.metrics.find((each) => each.name === name)!)
  const numbers = metrics.map((metric) => numberOf(board, metric))
  const others = modelsOf(board, definitions).flatMap((name) => {
    const model = models.find((each) => each.name === name)!
    const own = metrics.filter((metric) => metric.model === name)
    return own.length === 0 ? [] : [...lineOf(board, model, own), tableOf(board, model, own)]
  })
  return [...numbers, ...others]
}

function numberOf(board: Board, { name, label, model, description }: Metric): Chart {
  return {
    file: `${board.name}__${name}`,
    title: label,
    description,
    model,
    kind: 'big_number_total',
    small: true,
    params: { metric: name, subheader: model.replaceAll('_', ' ') },
    query: { ...BARE, columns: [], metrics: [name], row_limit: 1 },
  }
}

/** The day that the rows of a model are of. With several dates nobody can tell which one. */
function dayOf({ columns }: DbtModel): string | undefined {
  const days = columns.filter(({ type }) => /^date$/i.test(type ?? ''))
  return days.length === 1 ? days[0]!.name : undefined
}

function lineOf(board: Board, model: DbtModel, metrics: readonly Metric[]): Chart[] {
  const day = dayOf(model)
  if (day === undefined) return []
  const names = metrics.slice(0, 1).map(({ name }) => name)
  const axis = { label: day, sqlExpression: day, expressionType: 'SQL', columnType: 'BASE_AXIS', timeGrain: 'P1D' }
  return [
    {
      file: `${board.name}__${model.name}__by_day`,
      title: `${metrics[0]!.label} by day`,
      description: model.description,
      model: model.name,
      kind: 'echarts_timeseries_line',
      small: false,
      params: { x_axis: day, time_grain_sqla: 'P1D', metrics: names, groupby: [], row_limit: 10_000 },
      query: { ...BARE, columns: [axis], metrics: names, row_limit: 10_000 },
    },
  ]
}

function tableOf(board: Board, model: DbtModel, metrics: readonly Metric[]): Chart {
  const by = model.columns
    .filter(({ name, type }) => /char|text|string/i.test(type ?? '') && !name.startsWith('_'))
    .slice(0, 2)
    .map(({ name }) => name)
  const names = metrics.map(({ name }) => name)
  return {
    file: `${board.name}__${model.name}__table`,
    title: titleOf(model.name),
    description: model.description,
    model: model.name,
    kind: 'table',
    small: false,
    params: { query_mode: 'aggregate', groupby: by, metrics: names, order_desc: true, row_limit: ROWS },
    query: { ...BARE, columns: by, metrics: names, orderby: [[names[0], false]], row_limit: ROWS },
  }
}

const BARE = { filters: [], extras: { having: '', where: '' }, annotation_layers: [], time_range: 'No filter' }

/** `daily_airport_delays` as people write it. */
export const titleOf = (name: string): string => name.replaceAll('_', ' ').replace(/^./, (first) => first.toUpperCase())
