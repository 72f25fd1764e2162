import { describeError } from '../core/errors.ts'
import { type ConfigOf, type ConfigSchema, loadConfig } from './config.ts'
import { createLogger, errorFields, type Logger } from './logger.ts'
import { createTelemetry, type Telemetry } from './telemetry.ts'

export type Service = { start(): Promise<void>; stop(): Promise<void> }

export type ServiceContext<C> = {
  readonly config: C
  readonly logger: Logger
  readonly telemetry: Telemetry
  /** Ends the process with exit code 1: nothing later is committed, its supervisor starts it again from the last commit. */
  readonly fatal: (error: unknown) => void
}

export type ServiceDefinition<S extends ConfigSchema> = {
  readonly name: string
  /** Prefix of the service's own variables: `MESH_LAKE_SINK_`. */
  readonly envPrefix: string
  readonly config: S
  /** Constructs everything concrete. Services start in the given order and stop in reverse. */
  readonly build: (context: ServiceContext<ConfigOf<S>>) => Promise<readonly Service[]>
}

const STOP_DEADLINE_MS = 15_000

/** Owns a process: config, ordered start with rollback, signals, reverse stop, exit code. Called once, from `main.ts`. */
export async function runService<S extends ConfigSchema>(definition: ServiceDefinition<S>): Promise<void> {
  let config: ConfigOf<S>
  try {
    config = loadConfig(definition.config, process.env, definition.envPrefix)
  } catch (error) {
    process.stderr.write(`${definition.name}: ${describeError(error)}\n`)
    process.exit(2)
  }
  const level = (config as { logLevel?: string }).logLevel ?? 'info'
  const logger = createLogger(definition.name, level)
  const telemetry = createTelemetry(definition.name)
  let started: Service | null = null
  let ending = false

  const end = (code: number): void => {
    if (ending) return
    ending = true
    // A stop that hangs must not keep the process alive: what is not committed is read again.
    setTimeout(() => process.exit(code || 1), STOP_DEADLINE_MS).unref()
    const stopping = started === null || code !== 0 ? Promise.resolve() : started.stop()
    stopping
      .catch((error: unknown) => {
        logger.error(errorFields(error), 'stopping failed')
        code = 1
      })
      .finally(() => process.exit(code))
  }
  const fatal = (error: unknown): void => {
    logger.error(errorFields(error), 'fatal: the process ends and starts again from its last commit')
    end(1)
  }
  process.on('SIGTERM', () => end(0))
  process.on('SIGINT', () => end(0))
  process.on('unhandledRejection', fatal)
  process.on('uncaughtException', fatal)

  try {
    const services = await definition.build({ config, logger, telemetry, fatal })
    const all = inOrder(services)
    await all.start()
    started = all
    logger.info({}, 'started')
  } catch (error) {
    fatal(error)
  }
}

/** Starts in order, stops in reverse; a failed start stops what had started. */
export function inOrder(services: readonly Service[]): Service {
  const running: Service[] = []
  async function stop(): Promise<void> {
    const errors: unknown[] = []
    while (running.length > 0) {
      await running
        .pop()!
        .stop()
        .catch((error: unknown) => errors.push(error))
    }
    if (errors.length > 0) throw new AggregateError(errors, 'stopping services')
  }
  return {
    async start() {
      for (const service of services) {
        try {
          await service.start()
          running.push(service)
        } catch (error) {
          await stop()
          throw error
        }
      }
    },
    stop,
  }
}
