import { execFile } from 'node:child_process'

/** Longest that one measuring program may take. */
const TOOL_TIMEOUT_MS = 300_000
const LARGEST_OUTPUT = 16 * 1024 * 1024

/** Runs a program to its end and returns what it printed to both streams; it is killed at the timeout or the abort. */
export function runTool(command: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      command,
      [...args],
      { signal, timeout: TOOL_TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: LARGEST_OUTPUT },
      (error, stdout, stderr) => {
        if (!error) resolve(stdout + stderr)
        else reject(new Error(`${error.message.slice(0, 200)}: ${(stdout + stderr).slice(-600)}`, { cause: error }))
      },
    )
  })
}
