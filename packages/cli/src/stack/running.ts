import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { stopOrphans } from './recovery.ts'
import { lockFile, type StackFile } from './stack.ts'
import { isAlive, lockHolder, type StateLayout } from './state.ts'

/** Long enough for every child to use up its own time to stop. */
const STOP_TIMEOUT_MS = 90_000

/** What is written down about the stack of this state folder; undefined when it is not running. */
export function readRunningStack(layout: StateLayout): StackFile | undefined {
  const holder = lockHolder(lockFile(layout))
  if (!holder) return undefined
  try {
    const stack = JSON.parse(readFileSync(layout.stackFile, 'utf8')) as StackFile
    const { pid, identity } = stack.supervisor
    // One that was killed has left its own, which says nothing of the one that has begun to start since.
    return pid === holder.pid && identity === holder.identity ? stack : undefined
  } catch {
    return undefined // it has only begun to start
  }
}

/**
 * Asks the supervisor to stop and waits for its end; stops what a killed supervisor left behind.
 * Returns what was stopped: the stack, only orphans, or nothing.
 */
export async function stopRunningStack(layout: StateLayout): Promise<'stack' | 'orphans' | 'nothing'> {
  const holder = lockHolder(lockFile(layout))
  if (holder) {
    process.kill(holder.pid, 'SIGTERM')
    const deadline = Date.now() + STOP_TIMEOUT_MS
    while (lockHolder(lockFile(layout))?.pid === holder.pid && isAlive(holder)) {
      if (Date.now() > deadline) process.kill(holder.pid, 'SIGKILL')
      await delay(50)
    }
  }
  const orphans = await stopOrphans(layout)
  if (holder) return 'stack'
  return orphans.length > 0 ? 'orphans' : 'nothing'
}
