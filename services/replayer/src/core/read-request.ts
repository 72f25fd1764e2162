import { MeshError } from '@mesh/shared/core/errors'
import type { BindRequest, ReplayBound, ReplayRequest } from '@mesh/shared/core/replay-api'

const BUNDLE = /^[A-Za-z0-9_-]{1,128}$/
const PARTITION = /^(0|[1-9]\d{0,5})$/
const SOURCES = ['auto', 'lake', 'log'] as const

/** @throws MeshError MESH_REPLAY_INVALID naming the field; unknown fields are refused. */
export function readBindRequest(body: unknown): BindRequest {
  return { bundle: readBundle(fieldsOf(body, ['bundle'])['bundle']) }
}

/** @throws MeshError MESH_REPLAY_INVALID naming the field; unknown fields are refused. */
export function readReplayRequest(body: unknown): ReplayRequest {
  const fields = fieldsOf(body, ['stream', 'from', 'to', 'source', 'bundle', 'recordsPerSecond'])
  const { stream, from, to, source, bundle, recordsPerSecond } = fields
  if (typeof stream !== 'string' || stream === '') throw invalid('stream is missing')
  const known = SOURCES.find((name) => name === source)
  if (source !== undefined && !known) throw invalid(`source is one of ${SOURCES.join(', ')}`)
  if (
    recordsPerSecond !== undefined &&
    !(typeof recordsPerSecond === 'number' && recordsPerSecond > 0 && Number.isFinite(recordsPerSecond))
  ) {
    throw invalid('recordsPerSecond is a number above 0')
  }
  return {
    stream,
    ...(from === undefined ? {} : { from: readBound('from', from) }),
    ...(to === undefined ? {} : { to: readBound('to', to) }),
    ...(known ? { source: known } : {}),
    ...(bundle === undefined ? {} : { bundle: readBundle(bundle) }),
    ...(recordsPerSecond === undefined ? {} : { recordsPerSecond }),
  }
}

function fieldsOf(body: unknown, names: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalid('the body is not a JSON object')
  const unknown = Object.keys(body).find((name) => !names.includes(name))
  if (unknown !== undefined) throw invalid(`${unknown} is not a field; there are: ${names.join(', ')}`)
  return body as Readonly<Record<string, unknown>>
}

function readBundle(bundle: unknown): string {
  if (typeof bundle !== 'string' || !BUNDLE.test(bundle)) throw invalid('bundle is not the hash of a bundle')
  return bundle
}

function readBound(name: string, bound: unknown): ReplayBound {
  if (typeof bound === 'string') return bound
  if (typeof bound !== 'object' || bound === null || Array.isArray(bound)) {
    throw invalid(`${name} is neither offsets per partition nor an RFC 3339 time`)
  }
  for (const [partition, offset] of Object.entries(bound)) {
    if (!PARTITION.test(partition)) throw invalid(`${name} has ${partition}, which is no partition`)
    if (!Number.isSafeInteger(offset) || (offset as number) < 0) {
      throw invalid(`${name} of partition ${partition} is not an offset`)
    }
  }
  return bound as Readonly<Record<string, number>>
}

function invalid(message: string): MeshError {
  return new MeshError('MESH_REPLAY_INVALID', message)
}
