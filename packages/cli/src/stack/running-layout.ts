import { join } from 'node:path'
import type { CommandContext } from '../command.ts'
import { readRunningStack } from './running.ts'
import { type StateLayout, stateLayout } from './state.ts'

/** Where `npm start -- --sources` keeps its mesh: beside the usual one, since some streams have other contracts in it. */
export const sourcesStateDir = (stateDir: string): string => join(stateDir, 'sources')

/** The stack that a command means: the project's own, or that of `--sources` where only that one runs. */
export function runningLayout(context: Pick<CommandContext, 'stateDir'>): StateLayout {
  const own = stateLayout(context.stateDir())
  if (readRunningStack(own) !== undefined) return own
  const beside = stateLayout(sourcesStateDir(own.root))
  return readRunningStack(beside) === undefined ? own : beside
}
