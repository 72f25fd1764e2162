import { callJson } from './http-json.ts'
import { renderColumns } from './table.ts'

/** A source that the gateway reads itself, as its /readyz tells it. */
export type PulledView = {
  readonly source: string
  readonly kind: string
  readonly stream: string
  readonly state: string
  readonly leads: boolean
  readonly since: string
  readonly lastOk: string | null
  readonly cursor: unknown
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string }
}

/** Empty where the gateway is away or reads none. */
export async function readPulled(gatewayUrl: string): Promise<readonly PulledView[]> {
  type Ready = { readonly sources?: Readonly<Record<string, Omit<PulledView, 'source'>>> }
  const { sources = {} } = await callJson<Ready>(`${gatewayUrl}/readyz`).catch((): Ready => ({}))
  return Object.entries(sources).map(([source, view]) => ({ source, ...view }))
}

/** By an operator. */
const isResting = ({ state }: PulledView): boolean => state === 'paused' || state === 'deleted'

export function renderPulled(views: readonly PulledView[]): string {
  const header = ['source', 'kind', 'state', 'since', 'last good', 'position']
  const rows = views.map((view) => [
    view.source,
    view.kind,
    view.leads || isResting(view) ? view.state : `${view.state} (another instance reads it)`,
    view.since,
    view.lastOk ?? '-',
    JSON.stringify(view.cursor ?? null).slice(0, 60),
  ])
  const errors = views.flatMap(({ source, error }) =>
    error ? [`${source}: ${error.code} ${error.message}`, `  ${error.hint}`] : [],
  )
  const resting = views
    .filter(isResting)
    .map(
      ({ source, state }) =>
        `${source} is ${state}: \`mesh sources resume ${source.split('/')[0]}\` reads ${
          state === 'paused' ? 'on' : 'it anew'
        }`,
    )
  return [renderColumns([header, ...rows]), ...errors, ...resting].join('\n')
}
