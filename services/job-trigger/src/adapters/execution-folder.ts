import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Execution } from '../core/ports.ts'

/** Files of one execution: what it is, what it prints, and its end, which is there whole or not at all. */
export type ExecutionFolder = {
  readonly path: string
  readonly input: string
  readonly log: string
  readonly result: string
  /** Created by the one process that runs the execution. */
  readonly claim: string
}

export function executionFolder(stateDir: string, { id, job }: Pick<Execution, 'id' | 'job'>): ExecutionFolder {
  const path = join(stateDir, 'runs', job.name, id)
  const file = (name: string): string => join(path, name)
  return {
    path,
    input: file('input.json'),
    log: file('output.log'),
    result: file('result.json'),
    claim: file('claim.json'),
  }
}

/** Makes the folder with the run's input; what an earlier, ended process left of the same execution is removed. */
export function prepareExecution(folder: ExecutionFolder, { input }: Execution): void {
  rmSync(folder.path, { recursive: true, force: true })
  mkdirSync(folder.path, { recursive: true })
  writeWhole(folder.input, input)
}

/** A reader never sees half of it. */
export function writeWhole(file: string, value: unknown): void {
  writeFileSync(`${file}.part`, `${JSON.stringify(value, null, 2)}\n`)
  renameSync(`${file}.part`, file)
}

/** Null when it is not there, or is no JSON (its writer died with the machine). */
export function readWhole<T>(file: string): T | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T
  } catch {
    return null
  }
}

const MAX_LOG = 256 * 1024

/** The end of the log. */
export function readLog({ log }: ExecutionFolder): string | null {
  return existsSync(log) ? readFileSync(log).subarray(-MAX_LOG).toString('utf8') : null
}
