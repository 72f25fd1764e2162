import type { ErrorCode } from '@mesh/shared/core/error-codes'
import { MeshError } from '@mesh/shared/core/errors'

/** What the driver's errors have that counts here. */
type ServerError = {
  readonly name?: unknown
  readonly code?: unknown
  readonly codeName?: unknown
  readonly message?: unknown
}

/** Codes of MongoDB's error_codes.yml. */
const CODES: ReadonlyMap<number, { readonly code: ErrorCode; readonly text: string }> = new Map([
  [286, { code: 'MESH_SOURCE_TOKEN_LOST', text: 'the oplog no longer holds the place of the resume token' }],
  [280, { code: 'MESH_SOURCE_TOKEN_LOST', text: 'the change stream cannot be resumed' }],
  [260, { code: 'MESH_SOURCE_TOKEN_LOST', text: 'the resume token is not valid on this server' }],
  [136, { code: 'MESH_SOURCE_TOKEN_LOST', text: 'the oplog was overtaken while it was read' }],
  [
    10_334,
    { code: 'MESH_SOURCE_EVENT_TOO_LARGE', text: 'a change event is over 16 MB, and this server does not split it' },
  ],
  [40_573, { code: 'MESH_SOURCE_NO_REPLICA_SET', text: 'the server is no member of a replica set' }],
  [
    13,
    {
      code: 'MESH_SOURCE_RIGHTS',
      text: 'the user needs the privileges find and changeStream on the collection (the role read has them)',
    },
  ],
  [8000, { code: 'MESH_SOURCE_AUTH', text: 'the server refuses the credentials' }],
  [18, { code: 'MESH_SOURCE_AUTH', text: 'the server refuses the credentials' }],
])

const UNREACHABLE =
  /^Mongo(ServerSelection|Network|NetworkTimeout|ServerClosed|PoolCleared|NotConnected|TopologyClosed|OperationTimeout)/
/** What the driver says of its settings before it has asked anybody. */
const SETTINGS = /^Mongo(Parse|InvalidArgument|MissingCredentials|API)Error$/

/**
 * What an error of the driver means for the operator. Only the server's own words are handed on, never those about the address: it may hold
 * credentials.
 */
export function mongoFailure(error: unknown, place: string): MeshError {
  const { name, code, codeName, message } = (error ?? {}) as ServerError
  const kind = typeof name === 'string' ? name : ''
  const known = typeof code === 'number' ? CODES.get(code) : undefined
  if (known) return new MeshError(known.code, `${known.text} (${label(code, codeName)})`, { place, cause: error })
  if (UNREACHABLE.test(kind))
    return new MeshError('MESH_SOURCE_UNREACHABLE', 'MongoDB does not answer', { place, cause: error })
  if (SETTINGS.test(kind)) {
    return new MeshError('MESH_SOURCE_CONFIG', '`url` is no connection string that the driver takes', { place })
  }
  const text = typeof message === 'string' ? message.slice(0, 200) : String(error)
  return new MeshError('MESH_SOURCE_REFUSED', `${text} (${label(code, codeName)})`, { place, cause: error })
}

/** The Java driver's words for an error of the server, as they stand in the trace of a connector's task. */
const JAVA = /\bMongo\w*Exception: [^\n]*?\berror(?: code)? (\d+)\b/g

/** What a failed task of Debezium's MongoDB connector failed of, where its trace has a code that is known here; else null. */
export function mongoTaskFailure(trace: string, place: string): MeshError | null {
  const codes = [...trace.matchAll(JAVA)].map(([, code]) => Number(code))
  const known = codes.findLast((code) => CODES.has(code))
  return known === undefined ? null : mongoFailure({ code: known }, place)
}

const label = (code: unknown, codeName: unknown): string =>
  [code, codeName].filter((part) => typeof part === 'number' || typeof part === 'string').join(' ') || 'no code'

export const renamedCollection = (from: string, to: string): MeshError =>
  new MeshError('MESH_SOURCE_COLLECTION_RENAMED', `the collection was renamed to ${to}`, { place: from })
