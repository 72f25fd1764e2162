import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { MeshError } from '../core/errors.ts'
import { createFolderObjectStore } from './folder-object-store.ts'
import type { ObjectStore } from './object-store.ts'
import { createS3ObjectStore, type S3Settings } from './s3-object-store.ts'

export type LakeLocation = { readonly url: string; readonly s3?: S3Settings }

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
