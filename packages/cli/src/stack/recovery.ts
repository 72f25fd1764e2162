import { rmSync } from 'node:fs'
import { stopMarked } from './process.ts'
import { childMarks, pidFile, type StateLayout } from './state.ts'

const SERVICE_STOP_MS = 5_000
const INFRASTRUCTURE_STOP_MS = 15_000
const INFRASTRUCTURE: readonly string[] = ['kafka', 'registry']
/** An instance that records a start-up archive would first write it: it is killed. */
const ARCHIVE = /-archive$/

/**
 * Stops what an earlier stack of this state folder has left running (its supervisor was killed): services first, then
 * the broker and the registry. Returns the names of those that were still alive.
 */
export async function stopOrphans(layout: StateLayout): Promise<string[]> {
  const marks = childMarks(layout)
  const services = marks.filter((mark) => !INFRASTRUCTURE.includes(mark.name))
  const infrastructure = marks.filter((mark) => INFRASTRUCTURE.includes(mark.name))
  const stopped: string[] = []
  for (const [group, timeoutMs] of [
    [services, SERVICE_STOP_MS],
    [infrastructure, INFRASTRUCTURE_STOP_MS],
  ] as const) {
    await Promise.all(
      group.map(async (mark) => {
        if (await stopMarked(mark, ARCHIVE.test(mark.name) ? 0 : timeoutMs)) stopped.push(mark.name)
        rmSync(pidFile(layout, mark.name), { force: true })
      }),
    )
  }
  return stopped
}
