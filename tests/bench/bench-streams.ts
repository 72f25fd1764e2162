import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export const STREAM = 'bench'
/** The same stream under the other guarantee. */
export const EXACTLY_ONCE_STREAM = 'bench-exactly-once'

export type BenchStream = typeof STREAM | typeof EXACTLY_ONCE_STREAM

/** Puts a stream's folder into the project. */
export function putStream(projectRoot: string, stream: BenchStream): void {
  const folder = join(projectRoot, 'streams', stream)
  cpSync(join(import.meta.dirname, 'stream'), folder, { recursive: true })
  if (stream === STREAM) return
  const file = join(folder, 'stream.yaml')
  const contract = readFileSync(file, 'utf8')
    .replace('name: bench\n', `name: ${stream}\n`)
    .replace('guarantee: at-least-once', 'guarantee: exactly-once')
    .replace('table: BENCH,', 'table: BENCH_EXACTLY_ONCE,')
  writeFileSync(file, contract)
}
