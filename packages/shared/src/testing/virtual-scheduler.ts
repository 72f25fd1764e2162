import { setImmediate as turn } from 'node:timers/promises'
import type { Scheduler } from '../kafka/scheduler.ts'

/** Time that moves from one due task to the next; between two of them everything that is ready runs. */
export type VirtualScheduler = Scheduler & {
  /** Runs tasks in order of time until the condition holds. Fails when that takes longer than `maxMs` of virtual time. */
  runUntil(condition: () => boolean, what: string, maxMs?: number): Promise<void>
}

type Task = { readonly at: number; readonly order: number; readonly run: () => void }

const START = Date.parse('2026-01-01T00:00:00Z')
const MAX_MS = 3_600_000

export function createVirtualScheduler(): VirtualScheduler {
  const tasks = new Set<Task>()
  let now = START
  let order = 0

  function schedule(at: number, run: () => void): Task {
    const task = { at, order: order++, run }
    tasks.add(task)
    return task
  }

  function takeNext(): Task | null {
    let next: Task | null = null
    for (const task of tasks) {
      if (next === null || task.at < next.at || (task.at === next.at && task.order < next.order)) next = task
    }
    if (next) tasks.delete(next)
    return next
  }

  return {
    now: () => now,
    after(ms, run) {
      const task = schedule(now + ms, run)
      return () => void tasks.delete(task)
    },
    every(ms, run) {
      let task = schedule(now + ms, again)
      function again(): void {
        task = schedule(now + ms, again)
        run()
      }
      return () => void tasks.delete(task)
    },
    async runUntil(condition, what, maxMs = MAX_MS) {
      const deadline = now + maxMs
      for (;;) {
        await turn()
        if (condition()) return
        const task = takeNext()
        if (!task) throw new Error(`nothing is due, and still not: ${what}`)
        now = Math.max(now, task.at)
        if (now > deadline) throw new Error(`still not after ${maxMs} ms: ${what}`)
        task.run()
      }
    },
  }
}
