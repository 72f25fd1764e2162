import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { recordingFlags } from './archive.ts'
import type { Java } from './java.ts'
import { type ChildSpec, startChild } from './process.ts'
import { takeLock } from './state.ts'

export interface TrainingRequest {
  readonly archive: string
  readonly java: Java
  /** Folder for the throw-away instance, removed afterwards. */
  readonly scratch: string
  readonly signal: AbortSignal
  /** How to run a throw-away instance on free ports with these extra flags. */
  readonly spec: (folder: string, flags: readonly string[]) => Promise<ChildSpec>
}

/**
 * Records a start-up archive with a throw-away instance at the lowest priority, beside the running stack: neither the
 * first start nor the first stop waits for it. The archive appears whole, by rename. An abort kills the instance.
 */
export async function trainArchive(request: TrainingRequest): Promise<void> {
  const { archive, java, signal } = request
  if (existsSync(archive) || signal.aborted) return
  const lock = takeLock(`${archive}.lock`, 'archive')
  if (typeof lock !== 'function') return // another stack that shares the cache is at it
  const folder = mkdtempSync(join(request.scratch, 'archive-'))
  const temporary = `${archive}.${process.pid}.tmp`
  try {
    const spec = await request.spec(folder, recordingFlags(java, temporary))
    const child = await startChild({ ...spec, command: 'nice', args: ['-n', '19', spec.command, ...spec.args] }, signal)
    const cancel = (): boolean => child.kill('SIGKILL')
    signal.addEventListener('abort', cancel)
    await child.stop()
    signal.removeEventListener('abort', cancel)
    if (!signal.aborted && existsSync(temporary)) renameSync(temporary, archive)
  } finally {
    rmSync(folder, { recursive: true, force: true })
    rmSync(temporary, { force: true })
    lock()
  }
}
