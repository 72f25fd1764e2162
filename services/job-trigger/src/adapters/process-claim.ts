import { readFileSync } from 'node:fs'

/** Who runs an execution. The start time tells a process from a later one of the same number. */
export type Claim = { readonly pid: number; readonly startTime: string }

/** Field 22 of /proc/<pid>/stat is the start time; where there is no /proc the number has to do. */
export function isAlive({ pid, startTime }: Claim): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
    return fields[0] !== 'Z' && fields[19] === startTime
  } catch {
    return startTime === ''
  }
}
