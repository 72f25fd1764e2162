import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { DBT_FOLDER, type DbtState, STATE_FILE } from '../../../src/bi/dbt-state.ts'
import { renderLookml } from '../../../src/bi/lookml.ts'
import { goldModels, parseMetrics } from '../../../src/bi/metrics.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..', '..', '..')

type Named = Readonly<Record<string, Readonly<Record<string, unknown>>>>
type View = { readonly dimension?: Named; readonly dimension_group?: Named; readonly measure?: Named }
type Project = {
  readonly model: Readonly<Record<string, { readonly explore: Named; readonly view: Readonly<Record<string, View>> }>>
  readonly manifest: { readonly constant: Named }
  readonly errors?: readonly unknown[]
}
type Parser = {
  parse(text: string): unknown
  parseFiles(options: { source: readonly { path: string; content: string }[] }): Promise<Project>
}
/** A parser of the whole language that is not ours; it follows includes as Looker does. It comes without types. */
const parser = createRequire(import.meta.url)('lookml-parser') as Parser

const metrics = parseMetrics(await readFile(join(ROOT, DBT_FOLDER, 'metrics.yaml'), 'utf8'))
const { manifest } = JSON.parse(await readFile(join(ROOT, STATE_FILE), 'utf8')) as DbtState
const models = goldModels(metrics, manifest)
const files = renderLookml(models, metrics)
const source = [...files].map(([path, content]) => ({ path, content }))

test('the LookML is read as a project: an explore over a view for each gold model, every column and metric in it', async () => {
  const project = await parser.parseFiles({ source })
  expect(project.errors).toBeUndefined()
  const { explore, view } = project.model['kappa_mesh']!
  const names = models.map(({ name }) => name).sort()
  expect(Object.keys(explore).sort()).toEqual(names)
  expect(Object.keys(view).sort()).toEqual(names)
  for (const { name, columns } of models) {
    const { dimension = {}, dimension_group = {}, measure = {} } = view[name]!
    expect(Object.keys({ ...dimension, ...dimension_group }).sort()).toEqual(columns.map((each) => each.name).sort())
    const own = metrics.metrics.filter(({ model }) => model === name)
    expect(Object.keys(measure).sort()).toEqual(own.map((metric) => `metric_${metric.name}`).sort())
    for (const { name: metric, label } of own) expect(measure[`metric_${metric}`]).toMatchObject({ label })
  }
})

test('every constant that the files use is in the manifest, the one place where Looker takes them from', async () => {
  const { constant } = (await parser.parseFiles({ source })).manifest
  const used = source.flatMap(({ content }) => [...content.matchAll(/@\{(\w+)\}/g)].map(([, name]) => name!))
  expect([...new Set(used)].sort()).toEqual(Object.keys(constant).sort())
  for (const { path, content } of source)
    expect([path, /^constant:/m.test(content)]).toEqual([path, path === 'manifest.lkml'])
})

test('the parser refuses what is no LookML', () => {
  const view = files.get('views/route_performance.view.lkml')!
  expect(() => parser.parse(view)).not.toThrow()
  for (const broken of [view.replace('{', ''), view.replace(' ;;', ''), view.slice(0, -3)])
    expect(() => parser.parse(broken)).toThrow()
})
