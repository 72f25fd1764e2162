import type { JobEngine } from '../core/ports.ts'
import { createWrappedEngine } from './wrapped-engine.ts'

type CommandOptions = { readonly run: readonly string[]; readonly env?: Readonly<Record<string, string>> }

export type CommandEngineOptions = {
  readonly stateDir: string
  /** Commands run here. */
  readonly projectDir: string
  readonly env: Readonly<Record<string, string | undefined>>
}

/** Runs a program of the job file's choice; see `createWrappedEngine` for what it is given. */
export function createCommandEngine({ stateDir, projectDir, env }: CommandEngineOptions): JobEngine {
  return createWrappedEngine({
    stateDir,
    projectDir,
    pollMs: 100,
    commandOf({ job }) {
      const { run, env: own } = job.options as CommandOptions
      return { run, env: { ...env, ...own } }
    },
  })
}
