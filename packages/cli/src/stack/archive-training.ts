import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { recordingFlags } from './archive.ts'
import type { Java } from './java.ts'
import { type ChildSpec, startChild } from './process.ts'
import { takeLock } from './state.ts'

export interface TrainingRequest {
  readonly archive: string
  readonly java: Java
  /** Folder for the throw-away instance, removed before and after. */
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
  const { scratch } = request
  const temporary = `${archive}.tmp`
  try {
    removeLeftovers(archive, scratch) // of a training that was killed
    mkdirSync(scratch, { recursive: true })
    const spec = await request.spec(scratch, recordingFlags(java, temporary))
    const args = ['-n', '19', spec.command, ...spec.args]
    const child = await startChild({ ...spec, command: 'nice', args, disposable: true }, signal)
    const cancel = (): boolean => child.kill('SIGKILL')
    signal.addEventListener('abort', cancel)
    if (signal.aborted) cancel()
    await child.stop()
    signal.removeEventListener('abort', cancel)
    if (!signal.aborted && existsSync(temporary)) renameSync(temporary, archive)
  } finally {
    removeLeftovers(archive, scratch)
    lock()
  }
}

/** The JVM keeps its own intermediate file beside the archive. */
function removeLeftovers(archive: string, scratch: string): void {
  rmSync(scratch, { recursive: true, force: true })
  const prefix = `${basename(archive)}.tmp`
  for (const file of readdirSync(dirname(archive))) {
    if (file.startsWith(prefix)) rmSync(join(dirname(archive), file), { force: true })
  }
}
