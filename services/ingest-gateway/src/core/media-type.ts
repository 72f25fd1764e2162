import { MeshError } from '@mesh/shared/core/errors'

export type BodyForm = 'json' | 'ndjson'

const FORMS: Readonly<Record<string, BodyForm>> = {
  'application/json': 'json',
  'application/x-ndjson': 'ndjson',
  'application/ndjson': 'ndjson',
}

/** The form that a Content-Type names. @throws MeshError MESH_BODY_MEDIA_TYPE */
export function bodyForm(contentType: string | undefined): BodyForm {
  const [type = '', ...parameters] = (contentType ?? '').split(';').map((part) => part.trim().toLowerCase())
  const form = Object.hasOwn(FORMS, type) ? FORMS[type] : undefined
  if (form === undefined) {
    const said = type === '' ? 'the request has no Content-Type' : `Content-Type ${type.slice(0, 80)} is not taken`
    throw new MeshError('MESH_BODY_MEDIA_TYPE', said)
  }
  const charset = parameters
    .find((p) => p.startsWith('charset='))
    ?.slice(8)
    .replaceAll('"', '')
  if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8') {
    throw new MeshError('MESH_BODY_MEDIA_TYPE', `charset ${charset.slice(0, 40)} is not taken, only utf-8`)
  }
  return form
}

/** Whether the body is gzip. @throws MeshError MESH_BODY_COMPRESSION */
export function isGzip(contentEncoding: string | undefined): boolean {
  const encoding = (contentEncoding ?? '').trim().toLowerCase()
  if (encoding === '' || encoding === 'identity') return false
  if (encoding === 'gzip' || encoding === 'x-gzip') return true
  throw new MeshError('MESH_BODY_COMPRESSION', `Content-Encoding ${encoding.slice(0, 40)} is not taken`)
}
