import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { identityOf } from '../../packages/cli/src/stack/process-identity.ts'
import { stopOrphans } from '../../packages/cli/src/stack/recovery.ts'
import { stateLayout } from '../../packages/cli/src/stack/state.ts'

/** Stops and removes what test runs that were killed have left in `folder`, one sub-folder for each run, named by its pid. */
export async function sweepAbandoned(folder: string): Promise<void> {
  for (const run of readdirSync(folder)) {
    if (identityOf(Number(run)) !== undefined) continue
    const layout = stateLayout(join(folder, run))
    await stopOrphans(layout)
    rmSync(layout.root, { recursive: true, force: true, maxRetries: 10 })
  }
}
