import { MeshError } from '@mesh/shared/core/errors'
import type { Command, CommandContext } from '../command.ts'
import { callJson } from '../http-json.ts'
import type { MeshAccess } from '../mesh-access.ts'
import { type PulledView, readPulled, renderPulled } from '../pulled-view.ts'
import { withMesh } from '../running-mesh.ts'
import { renderColumns } from '../table.ts'

/** As the gateway tells it; see its README. */
export type SourceShown = {
  readonly source: string
  readonly kind: string
  readonly state: string
  readonly streams: readonly string[]
  readonly problems: readonly { readonly code: string; readonly message: string; readonly hint: string }[]
  readonly tables: readonly {
    readonly table: string
    readonly stream: string
    readonly replicaIdentity: string | null
    readonly note: string | null
  }[]
  readonly lagBytes: number | null
  readonly restarts: number
}

const ACTIONS = ['list', 'pause', 'resume', 'restart', 'snapshot', 'resnapshot', 'delete', 'forget']
/** What cannot be undone, and what it does. */
const FINAL: Readonly<Record<string, string>> = {
  delete: 'gives up how far it has come, and its slot and publication where there are any',
  resnapshot: 'gives up its slot and reads every row again',
  forget: 'gives up how far it has been read, and reads it from its start again',
}

export const sources: Command = {
  name: 'sources',
  summary: 'show what streams are pulled from; pause, resume, restart, snapshot, resnapshot, delete or forget one',
  usage: '[list|pause|resume|restart|snapshot|resnapshot|delete|forget] [source]',
  options: {
    table: { type: 'string', value: 'TABLE', doc: 'snapshot: only this table' },
    yes: {
      type: 'boolean',
      doc: 'resnapshot, delete, forget: yes, how far it has come is given up, and the slot where there is one',
    },
  },
  async run(context) {
    const [action = 'list', name, ...rest] = context.positionals
    if (!ACTIONS.includes(action) || rest.length > 0 || (action === 'list') !== (name === undefined)) {
      throw new MeshError('MESH_CLI_USAGE', `sources takes ${ACTIONS.join(', ')} and, but for list, a source`)
    }
    return withMesh(context, (mesh) => (name === undefined ? list(context, mesh) : act(context, mesh, action, name)))
  },
}

async function list(context: CommandContext, mesh: MeshAccess): Promise<number> {
  const [captured, pulled] = await Promise.all([readSources(mesh), readPulled(mesh.gateway.url)])
  if (context.json) context.print(JSON.stringify({ captured, pulled }, null, 2))
  else context.print(renderAll(captured, pulled))
  return captured.some(({ state }) => state === 'failed') || pulled.some(({ state }) => state === 'failing') ? 1 : 0
}

async function act(context: CommandContext, mesh: MeshAccess, action: string, name: string): Promise<number> {
  const what = FINAL[action]
  if (what !== undefined && !context.flag('yes')) {
    throw new MeshError('MESH_CLI_USAGE', `sources ${action} ${what}: say --yes`)
  }
  const table = context.text('table')
  const answer = await callJson<Record<string, unknown>>(
    `${mesh.gateway.url}/v1/sources/${encodeURIComponent(name)}${action === 'delete' ? '' : `/${action}`}`,
    {
      method: action === 'delete' ? 'DELETE' : 'POST',
      body: { ...(what === undefined ? {} : { confirm: name }), ...(table === undefined ? {} : { table }) },
      apiKey: mesh.gateway.apiKey,
    },
  )
  if (context.json) context.print(JSON.stringify(answer))
  else if (action === 'forget') context.print(renderForgotten(name, answer['positions'] as readonly string[]))
  else context.print(`${name}: ${action} is asked; \`mesh sources\` shows how it goes`)
  return 0
}

const renderForgotten = (name: string, positions: readonly string[]): string =>
  positions.length === 0
    ? `${name}: there was nothing to forget`
    : [`${name} begins anew; forgotten:`, ...positions.map((key) => `  ${key}`)].join('\n')

/** Those that Kafka Connect reads, then those that the gateway reads itself. */
function renderAll(captured: readonly SourceShown[], pulled: readonly PulledView[]): string {
  const parts = [
    ...(captured.length > 0 ? [renderSources(captured)] : []),
    ...(pulled.length > 0 ? [renderPulled(pulled)] : []),
  ]
  return parts.length > 0 ? parts.join('\n\n') : 'no applied stream is pulled from a source'
}

/** Empty where the gateway is away or knows none. */
export async function readSources(mesh: Pick<MeshAccess, 'gateway'>): Promise<readonly SourceShown[]> {
  const view = await callJson<{ sources: readonly SourceShown[] }>(`${mesh.gateway.url}/v1/sources`)
  return view.sources
}

export function renderSources(shown: readonly SourceShown[]): string {
  const header = ['source', 'kind', 'state', 'lag', 'restarts', 'streams']
  const rows = shown.map(({ source, kind, state, lagBytes, restarts, streams }) => [
    source,
    kind,
    state,
    lagBytes === null ? '-' : `${Math.ceil(lagBytes / 1024)} KiB`,
    String(restarts),
    streams.join(', '),
  ])
  const lines = shown.flatMap(({ source, problems, tables }) => [
    ...problems.flatMap(({ code, message, hint }) => [`  ${source}: ${message} [${code}]`, `    ${hint}`]),
    ...tables.flatMap(({ table, note }) => (note === null ? [] : [`  ${source}: ${table}: ${note}`])),
  ])
  return [renderColumns([header, ...rows]), ...lines].join('\n')
}
