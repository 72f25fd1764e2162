import type { Command, CommandContext } from '../command.ts'
import { stopRunningStack } from '../stack/running.ts'
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
  const stopped = await stopRunningStack(stateLayout(context.stateDir()))
  if (context.json) context.print(JSON.stringify({ stopped }))
  else context.note(REMARKS[stopped])
  return 0
}
