import { header } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import type { BundleBinding } from '@mesh/shared/core/versions'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { getBundle, loadRefine } from '@mesh/shared/schema/bundle'
import type { AvroCodec } from '@mesh/shared/schema/port'
import type { RefineCode } from '../core/decide.ts'

export type CodeLoader = {
  /** The code of a bundle under the schema id it is bound to. Cached: a bundle never changes. @throws MeshError of the store or bundle */
  load(binding: BundleBinding): Promise<RefineCode>
}

export type CodeLoaderDeps = {
  readonly store: ObjectStore
  readonly codec: Pick<AvroCodec, 'encode'>
  /** Folder for unpacked modules; may be lost. */
  readonly cacheDir: string
}

export function createCodeLoader({ store, codec, cacheDir }: CodeLoaderDeps): CodeLoader {
  const loading = new Map<string, Promise<RefineCode>>()

  async function open({ hash, schemaId }: BundleBinding): Promise<RefineCode> {
    const bundle = await getBundle(store, hash)
    const { codeHash, contractHash, contract, refinedAvsc } = bundle
    return {
      codeHash,
      codeHeader: header(HEADER.code, codeHash),
      contractHash,
      contract,
      refine: await loadRefine(bundle, cacheDir),
      encode: (record) => codec.encode(schemaId, refinedAvsc, record),
    }
  }

  return {
    load(binding) {
      const key = `${binding.hash}/${binding.schemaId}`
      const known = loading.get(key)
      if (known) return known
      const code = open(binding)
      loading.set(key, code)
      // A failure is not remembered: the next try may find the store up.
      code.catch(() => loading.delete(key))
      return code
    },
  }
}
