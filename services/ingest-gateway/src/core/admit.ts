import type { IngestEvents, IngestWebhook } from '@mesh/shared/core/contract'
import { MeshError } from '@mesh/shared/core/errors'
import { nearest } from '@mesh/shared/runtime/config'
import { type ApiKey, authenticate } from './api-keys.ts'
import type { IngestStream, RequestHeaders, StreamDirectory } from './ports.ts'

/** @throws MeshError MESH_STREAM_UNKNOWN with the nearest name, MESH_GATEWAY_STARTING */
export function findStream(directory: StreamDirectory, name: string): IngestStream {
  const found = directory.find(name)
  switch (found.kind) {
    case 'found':
      return found.stream
    case 'starting':
      throw new MeshError('MESH_GATEWAY_STARTING', found.reason)
    case 'missing': {
      const near = nearest(
        name.slice(0, 60),
        directory.streams().map((s) => s.contract.name),
      )
      const text = near === undefined ? 'no stream is published' : `did you mean ${near}?`
      throw new MeshError('MESH_STREAM_UNKNOWN', `stream ${JSON.stringify(name.slice(0, 60))} is not known: ${text}`)
    }
  }
}

/** Who posts: a configured principal, or `anonymous` where the contract asks for no key. @throws MESH_STREAM_NO_INGEST, MESH_AUTH_* */
export function admitEvents(stream: IngestStream, headers: RequestHeaders, keys: readonly ApiKey[]): string {
  const ingest = stream.contract.ingest.find((i): i is IngestEvents => i.kind === 'events')
  if (!ingest) throw noIngest(stream, 'events')
  if (ingest.auth === 'none') return 'anonymous'
  return authenticate(keys, { authorization: headers['authorization'], apiKey: headers['x-api-key'] })
}

/** @throws MESH_STREAM_NO_INGEST */
export function webhookOf(stream: IngestStream): IngestWebhook {
  const ingest = stream.contract.ingest.find((i): i is IngestWebhook => i.kind === 'webhook')
  if (!ingest) throw noIngest(stream, 'webhook')
  return ingest
}

const noIngest = (stream: IngestStream, kind: string): MeshError =>
  new MeshError('MESH_STREAM_NO_INGEST', `stream ${stream.contract.name} declares no ingest of kind ${kind}`)
