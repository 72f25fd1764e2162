import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Refine } from '@mesh/client/refine'
import { canonicalJson } from '../core/canonical-json.ts'
import type { Contract } from '../core/contract.ts'
import { MeshError } from '../core/errors.ts'
import type { Sources } from '../core/source.ts'
import type { ObjectStore } from '../lake/object-store.ts'
import type { Bundle } from './port.ts'
import { bundleRefine } from './refine-module.ts'
import type { StreamFolder } from './stream-folder.ts'

/**
 * Part of every code hash. Raised when the enricher or the codec would give other bytes for the same inputs, so that records say
 * which code made them.
 */
export const ENRICHER_CODE_VERSION = 1

const MANIFEST = 'manifest.json'

type Manifest = {
  readonly hash: string
  readonly codeHash: string
  readonly contractHash: string
  /** File name → SHA-256. */
  readonly files: Readonly<Record<string, string>>
}

/**
 * Freezes a folder: what services run, whatever happens to the folder later. The same folder gives the same hash on any path.
 * @throws MeshError MESH_CONTRACT_REFINE
 */
export async function freezeBundle(folder: StreamFolder): Promise<Bundle> {
  const files = new Map<string, Uint8Array>()
  const put = (name: string, content: string | Uint8Array): void => {
    files.set(name, typeof content === 'string' ? Buffer.from(content) : content)
  }
  put('contract.json', canonicalJson(folder.contract))
  put('refined.avsc', JSON.stringify(JSON.parse(folder.refinedAvsc)))
  if (folder.rawSchema) put('raw.schema.json', canonicalJson(folder.rawSchema))
  if (Object.keys(folder.sources).length > 0) put('sources.json', canonicalJson(folder.sources))
  const inputs = ['stream.yaml', folder.contract.refine.schema]
  if (folder.rawSchema) inputs.push('raw.schema.json')
  if (folder.refineFile) {
    const module = await bundleRefine(folder.refineFile)
    put('refine.mjs', module.code)
    inputs.push(...module.inputs)
  }
  for (const input of new Set(inputs)) put(`source/${input}`, await readFile(join(folder.dir, input)))
  return assemble(files)
}

/** Writes a bundle under `bundles/<hash>/`, the manifest last: a bundle with a manifest is complete. Idempotent. */
export async function putBundle(store: ObjectStore, bundle: Bundle): Promise<void> {
  for (const [name, bytes] of bundle.files) await store.create(bundleKey(bundle.hash, name), bytes)
  const files = Object.fromEntries([...bundle.files].map(([name, bytes]) => [name, sha256([bytes])]))
  const { hash, codeHash, contractHash } = bundle
  const manifest: Manifest = { hash, codeHash, contractHash, files }
  await store.create(bundleKey(hash, MANIFEST), Buffer.from(canonicalJson(manifest)))
}

/** Reads a bundle and checks every byte against its hash. @throws MeshError MESH_BUNDLE_INVALID, MESH_LAKE_UNAVAILABLE */
export async function getBundle(store: ObjectStore, hash: string): Promise<Bundle> {
  try {
    const manifest = JSON.parse(Buffer.from(await read(store, hash, MANIFEST)).toString('utf8')) as Manifest
    const names = Object.keys(manifest.files)
    const contents = await Promise.all(names.map((name) => read(store, hash, name)))
    const bundle = assemble(new Map(names.map((name, i) => [name, contents[i]!])))
    if (bundle.hash === hash) return bundle
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new MeshError('MESH_BUNDLE_INVALID', `bundle ${hash} does not match its hash`)
}

/**
 * The bundle's refine function, or null when events already match the schema. The module is written to
 * `cacheDir/<hash>/refine.mjs` and imported; Node keeps one instance per process. @throws MeshError MESH_CONTRACT_REFINE
 */
export async function loadRefine(bundle: Bundle, cacheDir: string): Promise<Refine | null> {
  const code = bundle.files.get('refine.mjs')
  if (!code) return null
  const dir = join(cacheDir, bundle.hash)
  const file = join(dir, 'refine.mjs')
  await mkdir(dir, { recursive: true })
  const partial = join(dir, `.${randomUUID()}.partial`)
  await writeFile(partial, code)
  await rename(partial, file)
  const place = `${bundle.contract.name}/refine.mjs of bundle ${bundle.hash}`
  const loaded = (await import(/* @vite-ignore */ pathToFileURL(file).href).catch((error: unknown) => {
    throw new MeshError('MESH_CONTRACT_REFINE', `loading ${place} failed`, { place, cause: error })
  })) as { refine?: unknown }
  if (typeof loaded.refine !== 'function') {
    throw new MeshError('MESH_CONTRACT_REFINE', `${place} does not export the function \`refine\``, { place })
  }
  return loaded.refine as Refine
}

/** Order of files does not matter; names and bytes do. */
function assemble(files: ReadonlyMap<string, Uint8Array>): Bundle {
  const sorted = new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)))
  const contract = sorted.get('contract.json') ?? new Uint8Array()
  const refinedAvsc = sorted.get('refined.avsc') ?? new Uint8Array()
  const rawSchema = sorted.get('raw.schema.json')
  const sources = sorted.get('sources.json')
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8')
  const parts: Uint8Array[] = []
  for (const [name, bytes] of sorted) parts.push(Buffer.from(name), bytes)
  const version = Buffer.from(`enricher ${ENRICHER_CODE_VERSION}`)
  return {
    hash: sha256(parts),
    codeHash: sha256([version, sorted.get('refine.mjs') ?? new Uint8Array(), contract, refinedAvsc]),
    contractHash: sha256([contract]),
    contract: JSON.parse(text(contract)) as Contract,
    refinedAvsc: text(refinedAvsc),
    rawSchema: rawSchema ? (JSON.parse(text(rawSchema)) as Record<string, unknown>) : null,
    sources: sources ? (JSON.parse(text(sources)) as Sources) : {},
    files: sorted,
  }
}

async function read(store: ObjectStore, hash: string, name: string): Promise<Uint8Array> {
  const bytes = await store.get(bundleKey(hash, name))
  if (bytes === null) throw new MeshError('MESH_BUNDLE_INVALID', `bundle ${hash} has no ${name}`)
  return bytes
}

const bundleKey = (hash: string, name: string): string => `bundles/${hash}/${name}`

/** Each part with its length before it, so that no two lists share an encoding. Hex. */
function sha256(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const part of parts) {
    const length = Buffer.allocUnsafe(8)
    length.writeBigUInt64BE(BigInt(part.byteLength))
    hash.update(length).update(part)
  }
  return hash.digest('hex')
}
