import { MeshError } from '@mesh/shared/core/errors'
import type { Edge, LineageGraph, Place } from './graph.ts'

export type Direction = 'upstream' | 'downstream'
export type Step = { readonly depth: number; readonly edge: Edge }

const LAYERS: readonly string[] = ['raw', 'bronze', 'refined', 'silver', 'landing', 'gold', 'exposure']

/**
 * `gold.daily_airport_delays.avg_delay`, `raw.flights/date`, `flights.delay` (a stream is its refined records), a model or an exposure by
 * its own name. @throws MeshError MESH_LINEAGE_UNKNOWN
 */
export function findPlace({ datasets }: LineageGraph, text: string): Place {
  const slash = text.indexOf('/')
  const [path, pointer] = slash < 0 ? [text, null] : [text.slice(0, slash).replace(/\.$/, ''), text.slice(slash)]
  const parts = path.split('.')
  const layered = LAYERS.includes(parts[0]!) && parts.length > 1
  const names = layered ? [parts.slice(0, 2).join('.')] : LAYERS.toReversed().map((layer) => `${layer}.${parts[0]!}`)
  // A stream's own name: not its raw events, and not a gold table that is called like it unless there is no stream.
  const order = layered ? names : [`refined.${parts[0]!}`, ...names]
  const dataset = order.find((name) => datasets.has(name))
  if (dataset === undefined) throw unknown(`there is no dataset ${path}; there are: ${[...datasets.keys()].join(', ')}`)
  const column = pointer ?? parts.slice(layered ? 2 : 1).join('.')
  if (column === '') return { dataset, column: null }
  const columns = datasets.get(dataset) ?? null
  if (columns === null) return { dataset, column }
  const found = columns.find((name) => name.toLowerCase() === column.toLowerCase())
  if (found === undefined) throw unknown(`${dataset} has no column ${column}; it has: ${columns.join(', ')}`)
  return { dataset, column: found }
}

const unknown = (message: string): MeshError => new MeshError('MESH_LINEAGE_UNKNOWN', message)

/**
 * The steps from a place, each one further away than its parent. A column is followed by what is known of columns; where nothing is, the
 * step is one between datasets and goes on as one.
 */
export function walk(graph: LineageGraph, start: Place, direction: Direction): Step[] {
  const steps: Step[] = []
  const seen = new Set<string>([keyOf(start)])
  visit(start, 1)
  return steps

  function visit(place: Place, depth: number): void {
    for (const edge of nextEdges(graph, place, direction)) {
      steps.push({ depth, edge })
      const next = direction === 'upstream' ? edge.from : edge.to
      const key = keyOf(next)
      if (seen.has(key) || next.dataset === place.dataset) continue
      seen.add(key)
      visit(next, depth + 1)
    }
  }
}

function nextEdges({ edges, datasets }: LineageGraph, place: Place, direction: Direction): Edge[] {
  const [here, there] = direction === 'upstream' ? (['to', 'from'] as const) : (['from', 'to'] as const)
  const tables = edges.filter((edge) => edge.to.column === null && edge[here].dataset === place.dataset)
  if (place.column === null) return tables
  const own = edges.filter((edge) => edge.to.column !== null && same(edge[here], place))
  if (direction === 'upstream') return own.length > 0 ? own : tables
  // Downstream, a dataset of which every column is told and none is made of this one has no part in it.
  const gaps = tables.filter(({ to }) => {
    if (own.some((edge) => edge[there].dataset === to.dataset)) return false
    const columns = datasets.get(to.dataset)
    return (
      !columns || columns.some((name) => !edges.some((edge) => same(edge.to, { dataset: to.dataset, column: name })))
    )
  })
  return [...own, ...gaps]
}

const same = (a: Place, b: Place): boolean => a.dataset === b.dataset && fold(a.column) === fold(b.column)
const fold = (column: string | null): string | null =>
  column === null || column.startsWith('/') ? column : column.toLowerCase()
const keyOf = ({ dataset, column }: Place): string => `${dataset}\0${column ?? ''}`

export const placeText = ({ dataset, column }: Place): string =>
  column === null ? dataset : column.startsWith('/') ? `${dataset}${column}` : `${dataset}.${column}`
