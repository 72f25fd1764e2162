import { randomBytes } from 'node:crypto'
import type { Contract } from '@mesh/shared/core/contract'
import { header } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import type { BundleBinding } from '@mesh/shared/core/versions'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { createObjectKeyStore } from '@mesh/shared/privacy/object-key-store'
import { createProtect, type Protect } from '@mesh/shared/privacy/protect'
import { masterKeys } from '@mesh/shared/privacy/seal'
import { createSubjectKeys } from '@mesh/shared/privacy/subject-keys'
import type { ReadSecret } from '@mesh/shared/runtime/secrets'
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
  readonly privacy: PrivacyDeps
}

export type PrivacyDeps = {
  readonly readSecret: ReadSecret
  readonly holdMs: number
  readonly maxSubjects: number
  /** A value of an erased subject was left out. */
  readonly onErased: (stream: string) => void
}

type Guard = { readonly protect: Protect; readonly fetch: (subjects: readonly string[]) => Promise<void> }

export function createCodeLoader({ store, codec, cacheDir, privacy }: CodeLoaderDeps): CodeLoader {
  const loading = new Map<string, Promise<RefineCode>>()

  async function open({ hash, schemaId }: BundleBinding): Promise<RefineCode> {
    const bundle = await getBundle(store, hash)
    const { codeHash, contractHash, contract, refinedAvsc } = bundle
    const guard = await guardOf(contract)
    return {
      codeHash,
      codeHeader: header(HEADER.code, codeHash),
      contractHash,
      contract,
      refine: await loadRefine(bundle, cacheDir),
      encode: (record) => codec.encode(schemaId, refinedAvsc, guard === null ? record : guard.protect(record)),
      ...(guard === null ? {} : { fetchSubjects: guard.fetch }),
    }
  }

  /** @throws MeshError MESH_SECRET_MISSING: such a stream waits, and no other */
  async function guardOf({ name, privacy: rules }: Contract): Promise<Guard | null> {
    if (!rules) return null
    const keys = masterKeys(await privacy.readSecret(rules.key), rules.key)
    const subjects = createSubjectKeys({
      stream: name,
      keys,
      store: createObjectKeyStore(store),
      holdMs: privacy.holdMs,
      maxSubjects: privacy.maxSubjects,
      now: () => performance.now(),
      randomBytes,
    })
    const protect = createProtect({
      stream: name,
      rules: rules.fields,
      keys,
      subjects,
      onErased: () => privacy.onErased(name),
    })
    return {
      protect,
      async fetch(names) {
        await Promise.all(names.map((subject) => subjects.fetch(subject)))
      },
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
