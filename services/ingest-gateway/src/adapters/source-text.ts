import { MeshError } from '@mesh/shared/core/errors'
import type { ReadSecret } from '../core/ports.ts'

/** What a text of a source stands for: `env:NAME` and `file:/path` are read, other text is itself. @throws MeshError MESH_SECRET_MISSING */
export function createSourceText(sourceName: string, readSecret: ReadSecret): (value: string) => Promise<string> {
  return async function sourceText(value) {
    const found = /^(env|file):/.test(value) ? await readSecret(value) : value
    if (found === null) throw new MeshError('MESH_SECRET_MISSING', `${value} holds nothing`, { place: sourceName })
    return found
  }
}
