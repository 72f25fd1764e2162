import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import { HOST } from './ports.ts'
import type { ChildSpec, Environment } from './process.ts'
import { isUp } from './registry.ts'

/** The services in start order: those of one stage start together, once the stage before is ready. */
export const SERVICE_STAGES: readonly (readonly string[])[] = [
  ['replayer'],
  ['ingest-gateway', 'enricher', 'lake-sink', 'warehouse-sink'],
  ['job-trigger', 'console'],
]

export const SERVICES: readonly string[] = SERVICE_STAGES.flat()

/** The stages for some of the services; unknown ones (a test's own) come last, one by one. */
export function stagesFor(names: readonly string[]): string[][] {
  const known = SERVICE_STAGES.map((stage) => stage.filter((name) => names.includes(name)))
  const others = names.filter((name) => !SERVICES.includes(name)).map((name) => [name])
  return [...known, ...others].filter((stage) => stage.length > 0)
}

/** `<folder>/<name>/src/main.ts` under this Node; ready when GET /readyz answers 200. */
export function serviceSpec(options: {
  readonly name: string
  readonly folder: string
  readonly port: number
  readonly env: Environment
  readonly scratch: string
  readonly logFile: string
  readonly pidFile: string
}): ChildSpec {
  const cwd = join(options.folder, options.name)
  const main = join(cwd, 'src', 'main.ts')
  if (!existsSync(main)) {
    throw new MeshError('MESH_STACK_SERVICE_UNKNOWN', `there is no service ${options.name}`, { place: main })
  }
  mkdirSync(options.scratch, { recursive: true })
  return {
    name: options.name,
    command: process.execPath,
    args: [main],
    env: options.env,
    cwd,
    logFile: options.logFile,
    pidFile: options.pidFile,
    isReady: () => isUp(`http://${HOST}:${options.port}/readyz`),
    readyTimeoutMs: 60_000,
    stopTimeoutMs: 20_000,
  }
}
