import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { configOf, SERVICES } from '../../../../scripts/generate-docs.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..', '..')

type Service = {
  readonly build?: { readonly dockerfile?: string; readonly target?: string; readonly args?: Record<string, string> }
  readonly environment?: Record<string, string>
  readonly volumes?: readonly string[]
  readonly depends_on?: Record<string, object>
}
type Compose = { readonly services: Record<string, Service>; readonly volumes: Record<string, null> }

/** As Compose reads it: YAML 1.1 merge keys, the `x-` parts being anchors only. */
const { services, volumes } = parse(readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true }) as Compose
const mounts = (name: string): readonly (readonly string[])[] =>
  (services[name]!.volumes ?? []).map((volume) => volume.split(':'))
const inVolume = (name: string, path: string): string | undefined =>
  mounts(name).find(([, target]) => path.startsWith(`${target}/`))?.[0]
const pathOf = (url: string): string => url.replace(/^\w+:\/\//, '')

test('every service of the mesh is there, built from a stage that the Dockerfile has, with settings that it knows', async () => {
  const stages = [...readFileSync(join(ROOT, 'infra/docker/Dockerfile'), 'utf8').matchAll(/^FROM .* AS (\S+)$/gm)]
  for (const name of SERVICES) {
    const { build, environment } = services[name]!
    expect(build!.args!['SERVICE']).toBe(name)
    expect(stages.map(([, stage]) => stage)).toContain(build!.target)
    const known = Object.values(await configOf(name)).map(({ env }) => env)
    // All share one environment, of which each takes what it knows; what is its own it must know.
    const shared = Object.entries(services['replayer']!.environment!)
    const own = Object.keys(environment!).filter((key) => !shared.some(([each]) => each === key))
    const secrets = own.filter((key) => !key.startsWith('MESH_'))
    expect({ name, unknown: own.filter((key) => !known.includes(key) && !secrets.includes(key)) }).toEqual({
      name,
      unknown: [],
    })
  }
})

test('what is mounted is there: declared volumes, folders of the project', () => {
  for (const name of Object.keys(services)) {
    for (const [source = ''] of mounts(name)) {
      const there = source.startsWith('./') ? existsSync(join(ROOT, source)) : Object.hasOwn(volumes, source)
      expect({ name, source, there }).toEqual({ name, source, there: true })
    }
    for (const other of Object.keys(services[name]!.depends_on ?? {})) expect(Object.keys(services)).toContain(other)
  }
})

test('the console reads the gold that job-trigger writes, from the same volume, and cannot write it', () => {
  const gold = services['console']!.environment!['MESH_GOLD_URL']!
  expect(gold).toBe(services['job-trigger']!.environment!['MESH_GOLD_URL'])
  expect(inVolume('console', pathOf(gold))).toBe('data')
  expect(inVolume('job-trigger', pathOf(gold))).toBe('data')
  expect(mounts('console')).toContainEqual(['data', '/mesh/data', 'ro'])
  expect(mounts('job-trigger')).toContainEqual(['data', '/mesh/data'])
})

test('job-trigger has the dbt that its jobs ask for, over the landing that the warehouse-sink writes', () => {
  const { build, environment } = services['job-trigger']!
  const dockerfile = readFileSync(join(ROOT, build!.dockerfile!), 'utf8')
  const stage = dockerfile.slice(dockerfile.indexOf(` AS ${build!.target}`))
  const python = environment!['MESH_DBT_PYTHON']!
  expect(stage).toContain(`-m venv ${python.replace('/bin/python', '')} `)
  expect(stage).toContain('COPY transforms/dbt transforms/dbt')
  const project = environment!['MESH_PROJECT_DIR']!
  const targets = mounts('job-trigger').map(([, target]) => target)
  for (const folder of ['jobs', 'transforms/dbt']) expect(targets).toContain(`${project}/${folder}`)
  expect(environment!['MESH_WAREHOUSE_URL']).toBe(services['warehouse-sink']!.environment!['MESH_WAREHOUSE_URL'])
})
