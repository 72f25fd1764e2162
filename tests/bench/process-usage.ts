import { readFile } from 'node:fs/promises'

export type Usage = { readonly cpuSeconds: number; readonly peakMb: number }

/** CPU time and peak resident memory of a running process, from /proc (clock ticks are 100 Hz on Linux). */
export async function usageOf(pid: number): Promise<Usage> {
  const [stat, status] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'utf8'),
    readFile(`/proc/${pid}/status`, 'utf8'),
  ])
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  const peakKb = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0)
  return { cpuSeconds: ticks / 100, peakMb: peakKb / 1024 }
}
