import type { Environment } from './stack/process.ts'

/** One `--option`: as node:util parseArgs has it, with the text for `--help`. */
export interface OptionSpec {
  readonly type: 'string' | 'boolean'
  readonly short?: string
  readonly multiple?: boolean
  /** What stands for the value in `--help`, e.g. NUMBER. */
  readonly value?: string
  readonly doc: string
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>

export interface Command {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** Arguments after the command's name, e.g. `<stream> [file]`. */
  readonly usage: string
  readonly options: OptionSpecs
  /** Resolves with the exit code. Throws MeshError for what the user can put right. */
  run(context: CommandContext): Promise<number>
}

export interface CommandContext {
  readonly positionals: readonly string[]
  /** `--json`: machine-readable output on stdout, one JSON value. */
  readonly json: boolean
  readonly env: Environment
  /** The repository folder with `packages/`, `services/`, `infra/`. */
  readonly codeDir: string
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal
  /** The nearest folder upwards with `streams/`, or `--project`. Throws MESH_CLI_NO_PROJECT. */
  projectDir(): string
  /** MESH_STATE_DIR, else `.mesh` of the project. */
  stateDir(): string
  /** Value of a string option. */
  text(option: string): string | undefined
  /** Values of an option that may repeat; each may also be a comma-separated list. */
  list(option: string): readonly string[]
  flag(option: string): boolean
  /** One line (or lines) on stdout. */
  print(text: string): void
  /** One line on stderr: progress and remarks, which never mix with the output. */
  note(text: string): void
}
