import { pino } from 'pino'
import { describeError, isMeshError } from '../core/errors.ts'

/** Silent when healthy: WARN = recovered, nothing lost; ERROR = a person is needed; never per record. */
export type Logger = {
  debug(fields: LogFields, text: string): void
  info(fields: LogFields, text: string): void
  warn(fields: LogFields, text: string): void
  error(fields: LogFields, text: string): void
}
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>

/** JSON lines on standard output, with the service's name on each. */
export function createLogger(service: string, level: string): Logger {
  return pino({ base: { service }, level, timestamp: pino.stdTimeFunctions.isoTime }) as Logger
}

/** What a log line says of an error: bounded code, the chain of causes, what to do. */
export function errorFields(error: unknown): LogFields {
  return isMeshError(error)
    ? { code: error.code, error: describeError(error), hint: error.hint }
    : { code: 'MESH_INTERNAL', error: describeError(error), stack: error instanceof Error ? error.stack : undefined }
}

export const SILENT_LOGGER: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
