/** Time as the Kafka layer needs it: real in production, moved by hand in seeded tests. */
export type Scheduler = {
  /** Epoch ms. */
  now(): number
  /** Runs the task once after `ms`; the returned function cancels it. */
  after(ms: number, task: () => void): () => void
  /** Runs the task every `ms` until cancelled; does not keep the process alive. */
  every(ms: number, task: () => void): () => void
}

export const realScheduler: Scheduler = {
  now: () => Date.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms)
    return () => clearTimeout(timer)
  },
  every(ms, task) {
    const timer = setInterval(task, ms).unref()
    return () => clearInterval(timer)
  },
}

export function sleep(scheduler: Scheduler, ms: number): Promise<void> {
  return new Promise((resolve) => {
    scheduler.after(ms, resolve)
  })
}
