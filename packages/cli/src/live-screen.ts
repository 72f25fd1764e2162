import type { CommandContext } from './command.ts'
import type { Stack } from './stack/stack.ts'
import { renderColumns } from './table.ts'

const REFRESH_MS = 1000
const HOME_AND_CLEAR = '\u001b[H\u001b[J'

/** A live screen of processes until Ctrl-C; without a terminal one line, then silence. Resolves when the stack ends. */
export async function watchMesh(context: CommandContext, stack: Stack): Promise<void> {
  const page = stack.addresses.services['console'] ?? ''
  context.note(`the mesh stays up; status page ${page}; Ctrl-C stops it`)
  if (!process.stdout.isTTY) return void (await stack.done)
  const timer = setInterval(() => void draw(), REFRESH_MS)
  let pageText = ''
  async function draw(): Promise<void> {
    pageText = await streamsText(page).catch(() => pageText)
    if (!context.signal.aborted) process.stdout.write(`${HOME_AND_CLEAR}${screen(stack, page, pageText)}\n`)
  }
  await stack.done
  clearInterval(timer)
}

function screen(stack: Stack, page: string, streams: string): string {
  const rows = stack
    .processes()
    .map(({ name, state, pid, port, restarts }) => [
      `  ${name}`,
      state,
      String(pid ?? '-'),
      String(port),
      restarts > 0 ? `${restarts} restarts` : '',
    ])
  return [
    'Kappa Mesh  (Ctrl-C stops it)',
    '',
    renderColumns([['  process', 'state', 'pid', 'port', ''], ...rows]),
    '',
    streams,
    '',
    `  ${page}`,
  ].join('\n')
}

type Edge = { readonly written?: number; readonly lag?: number; readonly rate?: number }
type Snapshot = {
  readonly streams: readonly {
    readonly stream: string
    readonly live: number
    readonly raw: Edge
    readonly bronze: Edge
    readonly versions: readonly { version: number; refined: Edge; enricher: Edge; silver: Edge; landing: Edge }[]
  }[]
}

async function streamsText(page: string): Promise<string> {
  const answer = await fetch(`${page}/api/snapshot`, { signal: AbortSignal.timeout(900) })
  const { streams } = (await answer.json()) as Snapshot
  const rows = streams.flatMap(({ stream, live, raw, bronze, versions }) =>
    versions.map(({ version, refined, enricher, silver, landing }) => [
      `  ${stream}`,
      `v${version}${version === live ? ' live' : ''}`,
      ...[raw.written, raw.rate, refined.written, enricher.lag, bronze.lag, silver.lag, landing.lag].map((n) =>
        String(n ?? '-'),
      ),
    ]),
  )
  const header = ['  stream', 'version', 'raw', 'raw/s', 'refined', 'lag: enricher', 'bronze', 'silver', 'landing']
  return renderColumns([header, ...rows])
}
