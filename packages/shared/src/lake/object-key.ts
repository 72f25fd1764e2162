import { MeshError } from '../core/errors.ts'

const SEGMENT = /^[^./\\\p{Cc}][^/\\\p{Cc}]*$/u
const MOST_BYTES = 1_024

/**
 * Keys are `a/b/c.ext`: no empty segment and none that starts with a dot, so that a key is the same name in a folder and in S3
 * and temporary files can hide behind a dot.
 * @throws MeshError MESH_LAKE_KEY_INVALID
 */
export function checkObjectKey(key: string): void {
  if (Buffer.byteLength(key) > MOST_BYTES || !key.split('/').every((segment) => SEGMENT.test(segment))) {
    throw new MeshError('MESH_LAKE_KEY_INVALID', 'object key is not of the form a/b/c.ext', {
      place: key.slice(0, 200),
    })
  }
}

/** Order of UTF-8 bytes, the order in which every store lists. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
