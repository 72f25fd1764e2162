import { ERRORS, type ErrorCode } from './error-codes.ts'

/** An error a user or operator can reach: code, sentence, way out. Never holds a payload or a secret. */
export class MeshError extends Error {
  readonly code: ErrorCode
  /** Where it is: a file and line, a topic and partition, an object key. */
  readonly place: string | undefined

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; place?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'MeshError'
    this.code = code
    this.place = options.place
  }

  get hint(): string {
    return ERRORS[this.code].hint
  }

  get status(): number {
    return ERRORS[this.code].status
  }
}

export function isMeshError(error: unknown): error is MeshError {
  return error instanceof MeshError
}

/** The message of anything thrown, with its chain of causes, for one log line. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = isMeshError(error)
    ? `${error.code} ${error.message}${error.place ? ` (${error.place})` : ''}`
    : error.message
  return error.cause === undefined ? own : `${own}: ${describeError(error.cause)}`
}
