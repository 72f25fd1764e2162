import { realScheduler, sleep } from './scheduler.ts'

export type AskAgain = {
  /** Names of answers that pass by themselves. */
  readonly passing: ReadonlySet<string>
  /** Between two askings; twice as long each time, up to the most. */
  readonly pauseMs: { readonly first: number; readonly most: number }
  readonly forMs: number
}

/** Asks again for as long as the answer is one that passes, and some time at most. */
export async function askAgain<T>(ask: () => Promise<T>, { passing, pauseMs, forMs }: AskAgain): Promise<T> {
  const deadline = realScheduler.now() + forMs
  for (let pause = pauseMs.first; ; pause = Math.min(pause * 2, pauseMs.most)) {
    try {
      return await ask()
    } catch (error) {
      if (realScheduler.now() > deadline || !answerNames(error).some((name) => passing.has(name))) throw error
      await sleep(realScheduler, pause)
    }
  }
}

/** Names of the broker's answers that an error holds, in the way of either client: in it, in its cause, in a list of errors. */
export function answerNames(error: unknown): string[] {
  if (!(error instanceof Error)) return []
  const { type, apiId, errors } = error as { type?: string; apiId?: string; errors?: unknown[] }
  const own = [type, apiId].filter((name) => name !== undefined)
  return [...own, ...answerNames(error.cause), ...(errors ?? []).flatMap(answerNames)]
}
