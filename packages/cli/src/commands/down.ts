import type { Command, CommandContext } from '../command.ts'
import { stopRunningStack } from '../stack/running.ts'
import { runningLayout, sourcesStateDir } from '../stack/running-layout.ts'
import { stateLayout } from '../stack/state.ts'

const REMARKS = {
  stack: 'mesh is down',
  orphans: 'mesh was not running; stopped what an earlier stack had left',
  nothing: 'mesh is not running',
} as const

export const down: Command = {
  name: 'down',
  summary: 'stop the local stack; what it stored stays',
  usage: '',
  options: {},
  run: runDown,
}

async function runDown(context: CommandContext): Promise<number> {
  const own = await stopRunningStack(runningLayout(context))
  // What a killed supervisor of `--sources` left behind lies beside.
  const stopped = own === 'nothing' ? await stopRunningStack(stateLayout(sourcesStateDir(context.stateDir()))) : own
  if (context.json) context.print(JSON.stringify({ stopped }))
  else context.note(REMARKS[stopped])
  return 0
}
