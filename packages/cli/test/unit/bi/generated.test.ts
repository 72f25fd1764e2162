import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { DBT_FOLDER, type DbtState, dbtFiles, STATE_FILE } from '../../../src/bi/dbt-state.ts'
import { EXPOSURES_FILE, renderExposures } from '../../../src/bi/exposures.ts'
import { lintLookml, lintTmdl } from '../../../src/bi/lint.ts'
import { parseMetrics } from '../../../src/bi/metrics.ts'
import { renderBi } from '../../../src/bi/render.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..', '..', '..')
const read = (...path: string[]): Promise<string> => readFile(join(ROOT, ...path), 'utf8')
const metrics = async () => parseMetrics(await read(DBT_FOLDER, 'metrics.yaml'))
const state = async () => JSON.parse(await read(STATE_FILE)) as DbtState

test('the BI files are what metrics.yaml and dbt say; `mesh bi generate` writes them', async () => {
  const { files, manifest } = await state()
  expect(files).toEqual(await dbtFiles(ROOT))
  expect(await read(DBT_FOLDER, EXPOSURES_FILE)).toBe(renderExposures(await metrics()))
  const rendered = renderBi(await metrics(), manifest)
  for (const [name, text] of rendered) expect([name, await read('transforms', 'bi', name)]).toEqual([name, text])
  const found = await readdir(join(ROOT, 'transforms', 'bi'), { recursive: true })
  expect(found.filter((name) => /\.(lkml|tmdl|yaml)$/.test(name)).sort()).toEqual([...rendered.keys()].sort())
})

test('the manifest that is committed has the exposures of the boards', async () => {
  const { manifest } = await state()
  const boards = (await metrics()).boards
  expect(manifest.exposures.map(({ name }) => name).sort()).toEqual(boards.map(({ name }) => name).sort())
})

test.each([
  [
    'a column that the model has not',
    'of: delayed,',
    'of: nothing,',
    'delayed_departures: daily_airport_delays has no column nothing',
  ],
  ['a model that dbt has not', 'model: route_performance', 'model: routes', 'dbt has no model routes'],
  ['a measure that is called like a column', 'label: Delayed flights', 'label: delayed', 'delayed is there twice'],
])('%s is refused', async (_, from, to, reason) => {
  const text = (await read(DBT_FOLDER, 'metrics.yaml')).replaceAll(from, to)
  const { manifest } = await state()
  expect(() => renderBi(parseMetrics(text), manifest)).toThrow(reason)
})

test.each([
  ['type: sum, of: flights', 'type: median, of: flights', 'type is sum, average or ratio, not median'],
  ['over: flights, ', '', 'delayed_share: over is missing'],
  ['metrics: [departures', 'metrics: [takeoffs', 'operations_board: there is no metric takeoffs'],
  ['name: on_time_share', 'name: delayed_share', 'delayed_share is there twice'],
])('metrics.yaml: %s → %s is refused', async (from, to, reason) => {
  const text = (await read(DBT_FOLDER, 'metrics.yaml')).replace(from, to)
  expect(() => parseMetrics(text)).toThrow(reason)
})

test('the lint sees what was broken by hand', async () => {
  const { models } = (await state()).manifest
  const view = await read('transforms', 'bi', 'lookml', 'views', 'route_performance.view.lkml')
  const table = await read('transforms', 'bi', 'tmdl', 'tables', 'route_performance.tmdl')
  const problems = [
    ...lintLookml('v', view.replace('{', ''), models),
    ...lintLookml('v', view.replaceAll('"ON_TIME"', '"ON_TIMES"'), models),
    ...lintLookml('v', view.replace(' ;;', ''), models),
    ...lintTmdl('t', table.replaceAll('sourceColumn: ON_TIME', 'sourceColumn: ON_TIMES'), models),
    ...lintTmdl('t', table.replace('route_performance[on_time]', 'route_performance[punctual]'), models),
    ...lintTmdl('t', table.replace('DIVIDE(', 'DIVIDE'), models),
    ...lintTmdl('t', table.replace('\tcolumn origin', '    column origin'), models),
  ]
  expect(problems).toEqual([
    'v: braces do not balance',
    'v: route_performance has no column ON_TIMES',
    expect.stringContaining('does not end with ;;'),
    't: route_performance has no column ON_TIMES',
    't: route_performance has no column punctual',
    't: brackets do not balance',
    expect.stringContaining('is indented with blanks'),
  ])
})
