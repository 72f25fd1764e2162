import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../core/ports.ts'

export const SYSTEM_CLOCK: Clock = {
  now: () => Date.now(),
  async wait(ms, signal) {
    if (signal?.aborted) return
    // The only way this rejects is the abort, which ends the wait.
    await delay(ms, undefined, signal ? { signal } : {}).catch(() => {})
  },
}
