import { MeshError } from '@mesh/shared/core/errors'
import type { Command } from '../command.ts'
import type { Place } from '../lineage/graph.ts'
import { readProjectLineage } from '../lineage/read-lineage.ts'
import { type Direction, findPlace, placeText, type Step, walk } from '../lineage/walk.ts'

export const lineage: Command = {
  name: 'lineage',
  summary: 'where a dataset or a column comes from and what it goes into, from event field to gold and exposure',
  usage: '<dataset | dataset.column>',
  options: {
    upstream: { type: 'boolean', doc: 'only what it comes from' },
    downstream: { type: 'boolean', doc: 'only what it goes into' },
  },
  /** Reads the project's files; needs no running mesh. */
  async run(context) {
    const [text, ...rest] = context.positionals
    if (!text || rest.length > 0) {
      throw new MeshError(
        'MESH_CLI_USAGE',
        'lineage takes one dataset or column: gold.route_performance.avg_delay, raw.flights/date',
      )
    }
    const { graph, remark } = await readProjectLineage(context.projectDir())
    const start = findPlace(graph, text)
    const both = context.flag('upstream') === context.flag('downstream')
    const wanted = (['upstream', 'downstream'] as const).filter((direction) => both || context.flag(direction))
    const walks = wanted.map((direction) => ({ direction, steps: walk(graph, start, direction) }))
    if (context.json)
      context.print(JSON.stringify({ start, remark, ...Object.fromEntries(walks.map(jsonOf)) }, null, 2))
    else context.print(renderLineage(start, walks))
    if (remark !== null) context.note(remark)
    return 0
  },
}

type Walk = { readonly direction: Direction; readonly steps: readonly Step[] }

const jsonOf = ({ direction, steps }: Walk): [string, object[]] => [
  direction,
  steps.map(({ depth, edge: { from, to, basis, how } }) => ({ depth, from, to, basis, how })),
]

export function renderLineage(start: Place, walks: readonly Walk[]): string {
  const lines = [placeText(start)]
  for (const { direction, steps } of walks) {
    lines.push('', direction === 'upstream' ? 'comes from' : 'goes into')
    if (steps.length === 0) lines.push('  nothing that the mesh knows of')
    const shown = steps.map(({ depth, edge }) => {
      const place = direction === 'upstream' ? edge.from : edge.to
      return {
        left: `${'  '.repeat(depth)}${placeText(place)}`,
        right: edge.basis === 'table' ? `tables only: ${edge.how}` : edge.how,
      }
    })
    const width = Math.max(0, ...shown.map(({ left }) => left.length))
    for (const { left, right } of shown) lines.push(`${left.padEnd(width)}  ${right}`)
  }
  return lines.join('\n')
}
