import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { MeshError } from '@mesh/shared/core/errors'
import { identityOf } from './process-identity.ts'

const GONE_TIMEOUT_MS = 60_000
const LOOK_AGAIN_MS = 50

/**
 * Kills what is left of the session that a process led, and returns once none of it is there: what is killed may still hold files that
 * the next start would meet. The session is the leader's pid, so the leader must have been alive just before.
 * @throws MeshError MESH_STACK_CHILD_FAILED for processes that do not end
 */
export async function endSession({ name, pid }: { readonly name: string; readonly pid: number }): Promise<void> {
  const deadline = Date.now() + GONE_TIMEOUT_MS
  for (let left = membersOf(pid); left.length > 0; left = membersOf(pid)) {
    if (Date.now() > deadline) {
      throw new MeshError('MESH_STACK_CHILD_FAILED', `${name}: killed processes do not end: ${left.join(', ')}`)
    }
    for (const member of left) kill(member)
    await delay(LOOK_AGAIN_MS)
  }
}

/** Empty where there is no /proc. */
function membersOf(session: number): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => sessionOf(pid) === session && identityOf(pid) !== undefined)
  } catch {
    return []
  }
}

/** proc(5): after the last ')' come state, ppid, pgrp, session. */
function sessionOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3])
  } catch {
    return null
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
