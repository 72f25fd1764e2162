import type { DbtColumn, DbtModel } from '@mesh/shared/lineage/dbt-manifest'
import type { Metric, Metrics } from './metrics.ts'

const FORMATS = { integer: '#,0', decimal: '#,0.00', percent: '0.0%' } as const

/** A Power BI semantic model as TMDL, by file name. Levels are tabs, as TMDL has them. */
export function renderTmdl(models: readonly DbtModel[], { metrics }: Metrics): Map<string, string> {
  const files = new Map<string, string>([
    ['database.tmdl', 'database KappaMesh\n\tcompatibilityLevel: 1567\n'],
    ['model.tmdl', renderModel(models)],
    ['expressions.tmdl', EXPRESSIONS],
  ])
  for (const model of models) files.set(`tables/${model.name}.tmdl`, renderTable(model, metrics))
  return files
}

const EXPRESSIONS = ['SnowflakeServer', 'SnowflakeWarehouse', 'GoldDatabase', 'GoldSchema']
  .map((name) => {
    const value = { GoldDatabase: 'GOLD', GoldSchema: 'MAIN' }[name] ?? ''
    return `expression ${name} = "${value}" meta [IsParameterQuery=true, Type="Text", IsParameterQueryRequired=true]\n`
  })
  .join('\n')

function renderModel(models: readonly DbtModel[]): string {
  const tables = models.map(({ name }) => `ref table ${name}`).join('\n')
  return `model Model\n\tculture: en-US\n\tdefaultPowerBIDataSourceVersion: powerBI_V3\n\n${tables}\n`
}

function renderTable({ name, description, columns }: DbtModel, metrics: readonly Metric[]): string {
  const own = metrics.filter(({ model }) => model === name)
  const parts = [...own.map((metric) => renderMeasure(metric)), ...columns.map(renderColumn), renderPartition(name)]
  return `${described(description, '')}table ${name}\n\n${parts.join('\n\n')}\n`
}

function renderMeasure(metric: Metric): string {
  const { label, format, description } = metric
  return `${described(description, '\t')}\tmeasure ${quoted(label)} = ${dax(metric)}\n\t\tformatString: ${FORMATS[format]}`
}

function dax({ model, type, of, weight, over }: Metric): string {
  const column = (name: string | undefined): string => `${model}[${name}]`
  if (type === 'sum') return `SUM(${column(of)})`
  if (type === 'ratio') return `DIVIDE(SUM(${column(of)}), SUM(${column(over)}))`
  return `DIVIDE(SUMX(${model}, ${column(of)} * ${column(weight)}), SUM(${column(weight)}))`
}

function renderColumn({ name, type, description }: DbtColumn): string {
  const lines = [
    `dataType: ${tabular(type)}`,
    ...(name.startsWith('_') ? ['isHidden'] : []),
    'summarizeBy: none',
    `sourceColumn: ${name.toUpperCase()}`,
  ]
  return `${described(description, '\t')}\tcolumn ${name}\n${lines.map((line) => `\t\t${line}`).join('\n')}`
}

function tabular(type: string | null): string {
  if (/date|time/i.test(type ?? '')) return 'dateTime'
  if (/int/i.test(type ?? '')) return 'int64'
  if (/double|float/i.test(type ?? '')) return 'double'
  if (/decimal|numeric/i.test(type ?? '')) return 'decimal'
  return /bool/i.test(type ?? '') ? 'boolean' : 'string'
}

function renderPartition(name: string): string {
  const steps = [
    'let',
    '\tSource = Snowflake.Databases(SnowflakeServer, SnowflakeWarehouse),',
    '\tDatabase = Source{[Name = GoldDatabase, Kind = "Database"]}[Data],',
    '\tSchema = Database{[Name = GoldSchema, Kind = "Schema"]}[Data],',
    `\tTable = Schema{[Name = "${name.toUpperCase()}", Kind = "Table"]}[Data]`,
    'in',
    '\tTable',
  ]
  const source = steps.map((line) => `\t\t\t\t${line}`).join('\n')
  return `\tpartition ${name} = m\n\t\tmode: import\n\t\tsource =\n${source}`
}

const described = (text: string, indent: string): string =>
  text === '' ? '' : `${indent}/// ${text.replaceAll('\n', ' ')}\n`
const quoted = (name: string): string => (/^\w+$/.test(name) ? name : `'${name.replaceAll("'", "''")}'`)
