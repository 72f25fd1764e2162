import { setTimeout as delay } from 'node:timers/promises'

/** Ends early at the signal, without an error. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await delay(Math.min(Math.max(ms, 0), 2_147_483_647), undefined, { signal }).catch(() => undefined)
}
