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

type Snapshot = { streams?: readonly { stream: string; live?: number; raw?: number; refined?: number; lag?: number }[] }

async function streamsText(page: string): Promise<string> {
  const snapshot = (await (
    await fetch(`${page}/api/snapshot`, { signal: AbortSignal.timeout(900) })
  ).json()) as Snapshot
  const rows = (snapshot.streams ?? []).map(({ stream, live, raw, refined, lag }) => [
    `  ${stream}`,
    `v${live ?? '?'}`,
    String(raw ?? ''),
    String(refined ?? ''),
    String(lag ?? ''),
  ])
  return renderColumns([['  stream', 'live', 'raw', 'refined', 'lag'], ...rows])
}
