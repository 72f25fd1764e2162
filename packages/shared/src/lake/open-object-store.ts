import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { MeshError } from '../core/errors.ts'
import { createFolderObjectStore } from './folder-object-store.ts'
import type { ObjectStore } from './object-store.ts'
import { createS3ObjectStore, type S3Settings } from './s3-object-store.ts'

export type LakeLocation = { readonly url: string; readonly s3?: S3Settings }

/** The values of a service's LAKE_CONFIG settings. */
export type LakeSettings = {
  readonly lakeUrl: string
  readonly s3Endpoint: string | null
  readonly s3Region: string
  readonly s3AccessKeyId: string | null
  readonly s3SecretAccessKey: string | null
}

/** @throws MeshError MESH_CONFIG_INVALID when one half of the S3 credentials is missing. */
export function lakeLocation(settings: LakeSettings): LakeLocation {
  const { s3AccessKeyId: accessKeyId, s3SecretAccessKey: secretAccessKey } = settings
  if ((accessKeyId === null) !== (secretAccessKey === null)) {
    throw new MeshError('MESH_CONFIG_INVALID', 'MESH_S3_ACCESS_KEY_ID and MESH_S3_SECRET_ACCESS_KEY go together')
  }
  const s3: S3Settings = {
    region: settings.s3Region,
    ...(settings.s3Endpoint !== null && { endpoint: settings.s3Endpoint }),
    ...(accessKeyId !== null && secretAccessKey !== null && { credentials: { accessKeyId, secretAccessKey } }),
  }
  return { url: settings.lakeUrl, s3 }
}

/**
 * Opens the lake: `file:///absolute/folder` or `s3://bucket/prefix` (with `s3`). Touches nothing yet.
 * @throws MeshError MESH_CONFIG_INVALID
 */
export function openObjectStore({ url, s3 }: LakeLocation): ObjectStore {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed?.protocol === 'file:' && parsed.host === '')
    return createFolderObjectStore(path.resolve(fileURLToPath(parsed)))
  if (parsed?.protocol === 's3:' && parsed.host !== '') {
    if (!s3) throw new MeshError('MESH_CONFIG_INVALID', 'the lake is in S3, and MESH_S3_REGION is not set')
    const prefix = decodeURIComponent(parsed.pathname).replace(/^\/+|\/+$/g, '')
    return createS3ObjectStore({ ...s3, bucket: parsed.host, prefix })
  }
  throw new MeshError('MESH_CONFIG_INVALID', 'MESH_LAKE_URL is neither file:///absolute/folder nor s3://bucket/prefix')
}
