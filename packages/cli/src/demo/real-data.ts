import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import type { Earthquake } from './earthquake-server.ts'

/** Real events from two npm packages; nothing of them is copied into the project. */
export type GithubDelivery = { readonly event: string; readonly body: string }
export type Airport = Readonly<Record<string, string | number | null>>
export type Flight = {
  readonly date: string
  readonly delay: number
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

/** 329 genuine GitHub webhook bodies with their event names. */
export function readGithubDeliveries(projectRoot: string): GithubDelivery[] {
  const loaded = loadPackage(projectRoot, '@octokit/webhooks-examples') as { name: string; examples: unknown[] }[]
  const deliveries: GithubDelivery[] = []
  for (const { name, examples } of loaded) {
    for (const example of examples) deliveries.push({ event: name, body: JSON.stringify(example) })
  }
  return deliveries
}

/** 3,376 US airports. The CSV quotes fields that hold a comma. */
export async function readAirports(projectRoot: string): Promise<Airport[]> {
  const text = await readFile(join(vegaData(projectRoot), 'airports.csv'), 'utf8')
  const [head, ...lines] = text.trim().split(/\r?\n/)
  const names = parseCsvLine(head ?? '')
  return lines.map((line) => {
    const fields = parseCsvLine(line)
    return Object.fromEntries(
      names.map((name, i) => [
        name,
        name === 'latitude' || name === 'longitude' ? Number(fields[i]) : (fields[i] ?? null),
      ]),
    )
  })
}

/** Flights without an id; equal rows occur. */
export async function readFlights(projectRoot: string, file = 'flights-20k.json'): Promise<Flight[]> {
  return JSON.parse(await readFile(join(vegaData(projectRoot), file), 'utf8')) as Flight[]
}

/** 1,707 earthquakes of one week, as the USGS published them. */
export async function readEarthquakes(projectRoot: string): Promise<Earthquake[]> {
  const text = await readFile(join(vegaData(projectRoot), 'earthquakes.json'), 'utf8')
  return (JSON.parse(text) as { features: Earthquake[] }).features
}

function vegaData(projectRoot: string): string {
  return join(projectRoot, 'node_modules', 'vega-datasets', 'data')
}

function loadPackage(projectRoot: string, name: string): unknown {
  try {
    return createRequire(join(projectRoot, 'package.json'))(name)
  } catch (error) {
    throw new MeshError('MESH_CONFIG_INVALID', `the demo needs the npm package ${name} in ${projectRoot}`, {
      cause: error,
    })
  }
}

function parseCsvLine(line: string): string[] {
  const fields: string[] = []
  const pattern = /("([^"]|"")*"|[^,]*)(,|$)/g
  for (let match = pattern.exec(line); match; match = pattern.exec(line)) {
    const field = match[1]!
    fields.push(field.startsWith('"') ? field.slice(1, -1).replaceAll('""', '"') : field)
    if (match[3] === '') break
  }
  return fields
}
