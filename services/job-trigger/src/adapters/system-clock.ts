import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../core/ports.ts'

export const SYSTEM_CLOCK: Clock = {
  now: () => Date.now(),
  async wait(ms, signal) {
    if (signal.aborted) return
    // The only way this rejects is the abort, which ends the wait. A longer wait than a timer takes is waited for in parts.
    await delay(Math.min(ms, 2_147_483_647), undefined, { signal }).catch(() => {})
  },
}
