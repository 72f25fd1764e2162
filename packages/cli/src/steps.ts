import type { CommandContext } from './command.ts'

/** Progress on stderr: what is being done, what is done and how long it took. */
export type Steps = {
  /** A step that has ended. */
  done: (text: string) => void
  /** A step that begins. */
  note: (text: string) => void
  /** The next step's clock begins now: what was before was no step. */
  restart: () => void
  /** A detail of the step under way; on a terminal it replaces the one before. */
  detail: (text: string) => void
}

const CLEAR_LINE = '\r\u001b[K'
const TICK_MS = 1000

/** On a terminal the step under way is one line with a running clock; elsewhere each step is a line. */
export function createSteps(context: Pick<CommandContext, 'note'>, stream: NodeJS.WriteStream = process.stderr): Steps {
  const terminal = stream.isTTY === true
  let since = Date.now()
  let current = ''
  let timer: NodeJS.Timeout | undefined

  function draw(): void {
    stream.write(`${CLEAR_LINE}  … ${current} ${Math.round((Date.now() - since) / 1000)} s`)
  }
  function show(text: string): void {
    current = text
    if (!terminal) return context.note(`  … ${text}`)
    draw()
    timer ??= setInterval(draw, TICK_MS).unref()
  }
  return {
    done(text) {
      clearInterval(timer)
      timer = undefined
      if (terminal) stream.write(CLEAR_LINE)
      context.note(`✓ ${text} (${((Date.now() - since) / 1000).toFixed(1)} s)`)
      since = Date.now()
    },
    note: show,
    restart: () => void (since = Date.now()),
    detail: show,
  }
}
