import { MeshError } from '@mesh/shared/core/errors'
import type { Command } from '../command.ts'
import { callJson } from '../http-json.ts'
import { withMesh } from '../running-mesh.ts'

type Keys = { readonly count: number; readonly keys: readonly string[] }
type Audit = {
  readonly stream: string
  readonly table: string
  readonly state: 'closed' | 'open' | 'unproven'
  readonly rows: { readonly table: number; readonly topic: number }
  readonly badRanges: readonly number[]
  readonly missing: Keys
  readonly differing: Keys
  readonly extra: Keys
  readonly unproven: number
  readonly moving: number
  readonly uncompared: readonly string[]
  readonly repaired: number | null
}

const TIMEOUT_MS = 900_000

export const audit: Command = {
  name: 'audit',
  summary: 'compare a captured table with what its topic holds, at one point of the database; name what differs',
  usage: '<stream>',
  options: {
    repair: { type: 'boolean', doc: 'read rows that are missing or differ again, and delete those that are gone' },
  },
  /** Exit code 0: table and topic hold the same. */
  async run(context) {
    const [stream, ...rest] = context.positionals
    if (!stream || rest.length > 0) throw new MeshError('MESH_CLI_USAGE', 'audit takes one stream')
    return withMesh(context, async (mesh) => {
      const report = await callJson<Audit>(`${mesh.gateway.url}/v1/streams/${encodeURIComponent(stream)}/audit`, {
        method: 'POST',
        body: { repair: context.flag('repair') },
        apiKey: mesh.gateway.apiKey,
        timeoutMs: TIMEOUT_MS,
      })
      context.print(context.json ? JSON.stringify(report, null, 2) : render(report))
      return report.state === 'closed' ? 0 : 1
    })
  },
}

function render(report: Audit): string {
  const { stream, table, state, rows } = report
  const remarks: readonly (readonly [number, string])[] = [
    [report.unproven, 'rows were last changed before the topic begins: they cannot be proven'],
    [report.moving, 'rows were being read again: audit once more'],
    [report.repaired ?? 0, 'rows are put right: read again, or deleted in the topic'],
  ]
  return [
    `${stream}: ${state}; ${table} has ${rows.table} rows, the topic folds to ${rows.topic}`,
    ...keysLine('missing in the topic', report.missing),
    ...keysLine('different in the topic', report.differing),
    ...keysLine('deleted in the table, still in the topic', report.extra),
    ...(report.badRanges.length > 0 ? [`  in ranges ${report.badRanges.join(', ')} of 256`] : []),
    ...remarks.flatMap(([count, text]) => (count > 0 ? [`  ${count} ${text}`] : [])),
    ...(report.uncompared.length > 0 ? [`  not compared: ${report.uncompared.join(', ')}`] : []),
  ].join('\n')
}

function keysLine(what: string, { count, keys }: Keys): string[] {
  return count === 0 ? [] : [`  ${count} ${what}: ${keys.slice(0, 20).join(', ')}${count > 20 ? ', …' : ''}`]
}
