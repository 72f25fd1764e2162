import { MeshError } from '@mesh/shared/core/errors'

export type WaitOptions = {
  /** What is waited for, for the error: "the enricher to pass the airports". */
  readonly what: string
  readonly timeoutMs: number
  readonly everyMs?: number
  /** Says how far it is, for the error. */
  readonly progress?: () => string
}

/** Asks until the answer is not null. @throws MeshError MESH_WAIT_TIMEOUT naming what did not happen. */
export async function waitFor<T>(ask: () => Promise<T | null>, options: WaitOptions): Promise<T> {
  const deadline = Date.now() + options.timeoutMs
  for (;;) {
    const answer = await ask()
    if (answer !== null) return answer
    if (Date.now() > deadline) {
      const far = options.progress ? ` (${options.progress()})` : ''
      throw new MeshError(
        'MESH_WAIT_TIMEOUT',
        `waited ${Math.round(options.timeoutMs / 1000)} s for ${options.what}${far}`,
      )
    }
    await new Promise((resolve) => setTimeout(resolve, options.everyMs ?? 100))
  }
}
