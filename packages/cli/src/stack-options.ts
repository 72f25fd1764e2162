import { MeshError } from '@mesh/shared/core/errors'
import { nearest } from '@mesh/shared/runtime/config'
import type { CommandContext, OptionSpecs } from './command.ts'
import type { InfrastructureName } from './stack/infrastructure.ts'
import { DEFAULT_PORTS, type PortMap, portsFromBase } from './stack/ports.ts'
import type { Environment } from './stack/process.ts'
import { SERVICES } from './stack/service.ts'
import type { StackOptions } from './stack/stack.ts'

const INFRASTRUCTURE: readonly InfrastructureName[] = ['kafka', 'registry']

/** The options of every command that starts a stack. */
export const STACK_OPTIONS: OptionSpecs = {
  port: {
    type: 'string',
    multiple: true,
    value: 'NAME=NUMBER',
    doc: `one port: ${Object.keys(DEFAULT_PORTS).join(', ')}`,
  },
  'port-base': { type: 'string', value: 'NUMBER', doc: 'consecutive ports from this number on' },
  only: {
    type: 'string',
    multiple: true,
    value: 'NAMES',
    doc: 'only this infrastructure: kafka, registry; no services',
  },
  services: { type: 'string', multiple: true, value: 'NAMES', doc: `these services: ${SERVICES.join(', ')}` },
  fresh: { type: 'boolean', doc: 'delete what an earlier stack stored, keep downloads' },
}

export type PlainStackOptions = Omit<StackOptions, 'onProgress' | 'signal' | 'env'>

/** What the command line and MESH_PORT_* say about the stack. Throws MESH_CLI_USAGE. */
export function stackOptionsOf(context: CommandContext): PlainStackOptions {
  const only = context.list('only').map((name) => oneOf('only', name, INFRASTRUCTURE))
  const services = context.list('services').map((name) => oneOf('services', name, SERVICES))
  return {
    stateDir: context.stateDir(),
    projectDir: context.projectDir(),
    codeDir: context.codeDir,
    ports: 'fixed',
    portOverrides: portsOf(context.env, context.text('port-base'), context.list('port')),
    fresh: context.flag('fresh'),
    ...(only.length > 0 ? { only } : {}),
    ...(services.length > 0 ? { services } : {}),
  }
}

/** Flags win over the environment, a single port wins over a base. */
export function portsOf(env: Environment, baseFlag: string | undefined, portFlags: readonly string[]): PortMap {
  const base = baseFlag ?? env['MESH_PORT_BASE']
  const fromBase = base === undefined ? {} : portsFromBase(portNumber('--port-base', base))
  const fromEnvironment = Object.keys(DEFAULT_PORTS).flatMap((name) => {
    const key = `MESH_PORT_${name.replaceAll('-', '_').toUpperCase()}`
    const text = env[key]
    return text ? [[name, portNumber(key, text)] as const] : []
  })
  const fromFlags = portFlags.map((flag) => {
    const [name = '', text = ''] = flag.split('=')
    return [oneOf('port', name, Object.keys(DEFAULT_PORTS)), portNumber(`--port ${name}`, text)] as const
  })
  const single = baseFlag === undefined ? fromEnvironment : []
  return { ...fromBase, ...Object.fromEntries(single), ...Object.fromEntries(fromFlags) }
}

function oneOf<T extends string>(option: string, name: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === name)
  if (found !== undefined) return found
  const near = nearest(name, allowed)
  throw new MeshError('MESH_CLI_USAGE', `--${option}: there is no '${name}'; did you mean '${near}'?`)
}

function portNumber(setting: string, text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port
  throw new MeshError('MESH_CLI_USAGE', `${setting}: '${text}' is not a port (1 to 65535)`)
}
