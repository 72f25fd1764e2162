import { afterEach } from 'vitest'

/** A list for what a test opens: after each test it is stopped, the last first, and forgotten. */
export function stoppedAfterEach(): { stop(): Promise<void> }[] {
  const open: { stop(): Promise<void> }[] = []
  afterEach(async () => {
    for (const each of open.splice(0).reverse()) await each.stop()
  })
  return open
}
