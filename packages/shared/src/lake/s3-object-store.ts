import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type * as Sdk from '@aws-sdk/client-s3'
import { MeshError } from '../core/errors.ts'
import { checkObjectKey } from './object-key.ts'
import type { ObjectStore } from './object-store.ts'

export type S3Settings = {
  /** Of an S3-compatible server; omitted for AWS. */
  readonly endpoint?: string
  readonly region: string
  /** Omitted: the SDK's own chain (environment, instance role). */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string }
}

export type S3ObjectStoreOptions = S3Settings & {
  readonly bucket: string
  /** Before every key, without slashes at its ends; empty for the whole bucket. */
  readonly prefix: string
}

const CONFLICT_ATTEMPTS = 6
const CONFLICT_BACKOFF_MS = 50
/** Says which call wrote an object, so that a retry recognises its own success. */
const WRITER = 'mesh-write'

/**
 * Objects in S3 or a compatible server that honours `If-None-Match: *` (see `probeConditionalWrites`). One buffered PutObject
 * per object: atomic, conditional, and with a known checksum.
 */
export function createS3ObjectStore(options: S3ObjectStoreOptions): ObjectStore {
  let loading: Promise<{ sdk: typeof Sdk; client: Sdk.S3Client }> | null = null
  const load = (): NonNullable<typeof loading> => (loading ??= connect(options))
  const root = options.prefix === '' ? '' : `${options.prefix}/`

  const at = (key: string): { Bucket: string; Key: string } => {
    checkObjectKey(key)
    return { Bucket: options.bucket, Key: root + key }
  }

  async function create(key: string, bytes: Uint8Array): Promise<'created' | 'exists'> {
    const { sdk, client } = await load()
    const writer = randomUUID()
    const input = { ...at(key), Body: bytes, IfNoneMatch: '*', Metadata: { [WRITER]: writer } }
    for (let attempt = 1; ; attempt++) {
      try {
        await client.send(new sdk.PutObjectCommand(input))
        return 'created'
      } catch (error) {
        const winner = statusOf(error) === 412 ? await writerOf(key) : null
        if (winner !== null) return winner === writer ? 'created' : 'exists'
        if (!isRace(error) || attempt === CONFLICT_ATTEMPTS) throw error
        await delay(CONFLICT_BACKOFF_MS * 2 ** attempt * (0.5 + Math.random()))
      }
    }
  }

  /**
   * The SDK repeats a request whose answer was lost; the repeat then meets the object of the first. Null when there is no object
   * any more: it was deleted since it refused the name.
   */
  async function writerOf(key: string): Promise<string | null> {
    const { sdk, client } = await load()
    const found = await ignoreMissing(client.send(new sdk.HeadObjectCommand(at(key))))
    return found === null ? null : (found.Metadata?.[WRITER] ?? '')
  }

  async function get(key: string, range?: string): Promise<Uint8Array | null> {
    const { sdk, client } = await load()
    const found = await ignoreMissing(
      client.send(new sdk.GetObjectCommand({ ...at(key), ...(range && { Range: range }) })),
    )
    return found?.Body ? found.Body.transformToByteArray() : null
  }

  async function getRange(key: string, start: number, end: number): Promise<Uint8Array | null> {
    try {
      if (end > start) return await get(key, `bytes=${start}-${end - 1}`)
    } catch (error) {
      if (statusOf(error) !== 416) throw error
    }
    return (await size(key)) === null ? null : new Uint8Array(0)
  }

  async function size(key: string): Promise<number | null> {
    const { sdk, client } = await load()
    const found = await ignoreMissing(client.send(new sdk.HeadObjectCommand(at(key))))
    return found === null ? null : (found.ContentLength ?? 0)
  }

  async function* list(prefix: string): AsyncGenerator<string> {
    let token: string | undefined
    do {
      const page = await wrapped(`listing objects under ${prefix}`, async () => {
        const { sdk, client } = await load()
        const input = { Bucket: options.bucket, Prefix: root + prefix, ...(token && { ContinuationToken: token }) }
        return client.send(new sdk.ListObjectsV2Command(input))
      })
      for (const { Key } of page.Contents ?? []) if (Key && !Key.endsWith('/')) yield Key.slice(root.length)
      token = page.IsTruncated ? page.NextContinuationToken : undefined
    } while (token !== undefined)
  }

  async function remove(key: string): Promise<void> {
    const { sdk, client } = await load()
    await ignoreMissing(client.send(new sdk.DeleteObjectCommand(at(key))))
  }

  return {
    create: (key, bytes) => wrapped(`creating object ${key}`, () => create(key, bytes)),
    get: (key) => wrapped(`reading object ${key}`, () => get(key)),
    getRange: (key, start, end) => wrapped(`reading object ${key}`, () => getRange(key, start, end)),
    size: (key) => wrapped(`looking up object ${key}`, () => size(key)),
    list,
    delete: (key) => wrapped(`deleting object ${key}`, () => remove(key)),
  }
}

/** The SDK is loaded on first use: a mesh whose lake is a folder never pays for it. */
async function connect(options: S3ObjectStoreOptions): Promise<{ sdk: typeof Sdk; client: Sdk.S3Client }> {
  const sdk = await import('@aws-sdk/client-s3')
  const client = new sdk.S3Client({
    region: options.region,
    maxAttempts: 4,
    requestHandler: { connectionTimeout: 5_000, requestTimeout: 60_000, throwOnRequestTimeout: true },
    ...(options.credentials && { credentials: options.credentials }),
    // Compatible servers may refuse, or store as content, the checksums that newer SDKs add by default.
    ...(options.endpoint && {
      endpoint: options.endpoint,
      forcePathStyle: true,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    }),
  })
  return { sdk, client }
}

/**
 * Two conditional writes met in the server, and neither is decided (S3 user guide, conditional writes); or the object that refused
 * the name is gone.
 */
function isRace(error: unknown): boolean {
  const { name } = error as { name?: string }
  if (statusOf(error) === 412) return true
  return statusOf(error) === 409 && (name === 'ConditionalRequestConflict' || name === 'OperationAborted')
}

async function ignoreMissing<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work
  } catch (error) {
    if (statusOf(error) === 404 && (error as { name?: string }).name !== 'NoSuchBucket') return null
    throw error
  }
}

async function wrapped<T>(action: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof MeshError) throw error
    throw new MeshError('MESH_LAKE_UNAVAILABLE', action, { cause: error })
  }
}

function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } } | null)?.$metadata?.httpStatusCode
}
