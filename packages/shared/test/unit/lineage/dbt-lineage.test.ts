import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { modelLineage, plainSql, tableSources } from '../../../src/lineage/dbt-lineage.ts'
import type { DbtManifest, DbtModel } from '../../../src/lineage/dbt-manifest.ts'
import { parseSelects } from '../../../src/lineage/sql-tree.ts'

const MODELS = join(import.meta.dirname, '..', '..', '..', '..', '..', 'transforms', 'dbt', 'models')
const column = (name: string) => ({ name, type: null, description: '' })

const model = (name: string, code: string, dependsOn: string[], materialized = 'table'): DbtModel => ({
  id: `model.p.${name}`,
  name,
  description: '',
  materialized,
  columns: [],
  dependsOn,
  code,
})

function manifest(models: DbtModel[]): DbtManifest {
  const columns = ['id', 'flightDate', 'origin', 'originCity', 'originState', 'delay', 'distance', 'destination']
  const sources = [
    { id: 'source.p.landing.flights', name: 'flights', identifier: 'FLIGHTS', columns: columns.map(column) },
  ]
  return { models, sources, exposures: [] }
}

async function sourcesOf(models: DbtModel[], name: string): Promise<Record<string, string> | null> {
  const lineage = await modelLineage(manifest(models), parseSelects)
  const { columns } = lineage.get(`model.p.${name}`)!
  if (columns === null) return null
  return Object.fromEntries(
    columns.map((each) => {
      const { sources, derivation } = tableSources(each, lineage)
      return [each.name, `${derivation} ${sources.map((s) => s.column).join(',')}`.trim()]
    }),
  )
}

test('the real models: an aggregate over a column renamed in staging is told down to landing', async () => {
  const read = (path: string): Promise<string> => readFile(join(MODELS, path), 'utf8')
  const staging = model('stg_flights', await read('staging/stg_flights.sql'), ['source.p.landing.flights'], 'ephemeral')
  const mart = model('delays', await read('gold/daily_airport_delays.sql'), ['model.p.stg_flights'])
  expect(await sourcesOf([mart, staging], 'delays')).toEqual({
    origin: 'identity origin',
    flight_date: 'identity flightDate',
    city: 'aggregation originCity',
    state: 'aggregation originState',
    flights: 'aggregation',
    delayed: 'aggregation delay',
    avg_delay: 'aggregation delay',
    max_delay: 'aggregation delay',
    _run_id: 'transformation',
  })
})

test('an upsert staging model with a window is seen through', async () => {
  const code = await readFile(join(MODELS, 'staging', 'stg_airports.sql'), 'utf8')
  const lineage = await modelLineage(
    {
      models: [model('stg_airports', code, ['source.p.landing.airports'], 'ephemeral')],
      sources: [
        {
          id: 'source.p.landing.airports',
          name: 'airports',
          identifier: 'AIRPORTS',
          columns: ['name', 'city', 'state', 'country', 'latitude', 'longitude'].map(column),
        },
      ],
      exposures: [],
    },
    parseSelects,
  )
  const columns = lineage.get('model.p.stg_airports')!.columns!
  expect(columns.find(({ name }) => name === 'iata')).toEqual({
    name: 'iata',
    sources: [{ relation: 'source.p.landing.airports', column: '_key' }],
    derivation: 'identity',
  })
})

test.each([
  ['a set operation', "select origin from {{ ref('stg') }} union all select id from {{ ref('stg') }}"],
  ['a subquery in the select list', "select (select max(id) from {{ ref('stg') }}) as top from {{ ref('stg') }}"],
  ['a name that two relations have', "select id from {{ ref('stg') }} a join {{ ref('stg') }} b on a.id = b.id"],
  ['a relation that is not in the manifest', 'select id from elsewhere'],
  ['SQL that does not parse', "select id from {{ ref('stg') }} where where"],
])('%s is left at the tables', async (_, code) => {
  const stg = model('stg', "select id, origin from {{ source('landing', 'flights') }}", ['source.p.landing.flights'])
  expect(await sourcesOf([stg, model('mart', code, ['model.p.stg'])], 'mart')).toBeNull()
})

test('what reads everything of a model that cannot be told cannot be told either', async () => {
  const union = model('u', 'select 1 as id union all select 2', [])
  expect(await sourcesOf([union, model('mart', "select * from {{ ref('u') }}", ['model.p.u'])], 'mart')).toBeNull()
})

test('Jinja is taken out of a model', () => {
  expect(
    plainSql("{{ config(unique_key='a', pre_hook=\"{% if x %}delete{% endif %}\") }}select a from {{ ref('m') }}"),
  ).toBe('select a from model__m')
})
