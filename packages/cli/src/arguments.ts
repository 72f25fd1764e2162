import { parseArgs } from 'node:util'
import { MeshError } from '@mesh/shared/core/errors'
import { nearest } from '@mesh/shared/runtime/config'
import type { Command, OptionSpecs } from './command.ts'

/** Understood by every command. */
export const GLOBAL_OPTIONS: OptionSpecs = {
  project: {
    type: 'string',
    value: 'DIR',
    doc: 'the project: a folder with streams/ (default: the nearest one upwards)',
  },
  json: { type: 'boolean', doc: 'print JSON' },
  help: { type: 'boolean', short: 'h', doc: 'show this help' },
}

export type OptionValue = string | boolean | readonly (string | boolean)[] | undefined

export interface ParsedArguments {
  readonly values: Readonly<Record<string, OptionValue>>
  readonly positionals: readonly string[]
}

/** Throws MESH_CLI_USAGE with the nearest option for one that does not exist. */
export function parseCommandLine(command: Command, args: readonly string[]): ParsedArguments {
  const options = { ...command.options, ...GLOBAL_OPTIONS }
  try {
    return parseArgs({ args: [...args], options: parserOptions(options), allowPositionals: true, strict: true })
  } catch (error) {
    throw usageError(error, Object.keys(options))
  }
}

export function findCommand<C>(name: string, commands: Readonly<Record<string, C>>): C {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command !== undefined) return command
  throw new MeshError(
    'MESH_CLI_USAGE',
    `there is no command '${name}'; did you mean '${nearest(name, Object.keys(commands))}'?`,
  )
}

type ParserOption = { type: 'string' | 'boolean'; short?: string; multiple?: boolean }

function parserOptions(options: OptionSpecs): Record<string, ParserOption> {
  return Object.fromEntries(
    Object.entries(options).map(([name, { type, short, multiple }]) => [
      name,
      { type, ...(short ? { short } : {}), ...(multiple ? { multiple } : {}) },
    ]),
  )
}

/** Node's messages for known options are clear; for an unknown one it talks about positional arguments. */
function usageError(error: unknown, names: readonly string[]): MeshError {
  const message = error instanceof Error ? error.message : String(error)
  const unknown = /^Unknown option '(-{1,2})([^'=]+)/.exec(message)
  if (!unknown) return new MeshError('MESH_CLI_USAGE', message)
  const [, dashes = '--', name = ''] = unknown
  const near = dashes === '--' ? `; did you mean '--${nearest(name, names)}'?` : ''
  return new MeshError('MESH_CLI_USAGE', `there is no option '${dashes}${name}'${near}`)
}
