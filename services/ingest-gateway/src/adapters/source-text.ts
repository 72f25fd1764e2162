import { MeshError } from '@mesh/shared/core/errors'
import type { CaFile, ClientCertificate } from '@mesh/shared/core/source'
import type { ReadSecret } from '../core/ports.ts'

/** What a text of a source stands for: `env:NAME` and `file:/path` are read, other text is itself. @throws MeshError MESH_SECRET_MISSING */
export function createSourceText(sourceName: string, readSecret: ReadSecret): (value: string) => Promise<string> {
  return async function sourceText(value) {
    const found = /^(env|file):/.test(value) ? await readSecret(value) : value
    if (found === null) throw new MeshError('MESH_SECRET_MISSING', `${value} holds nothing`, { place: sourceName })
    return found
  }
}

/** The PEMs of a source, as TLS clients take them; empty where the source names none. */
export type TlsTexts = { readonly ca?: string; readonly cert?: string; readonly key?: string }

/** @throws MeshError MESH_SECRET_MISSING */
export async function readTlsTexts(
  { ca, cert, key }: ClientCertificate & { readonly ca?: CaFile },
  text: (value: string) => Promise<string>,
): Promise<TlsTexts> {
  return {
    ...(ca === undefined ? {} : { ca: await text(ca) }),
    ...(cert === undefined || key === undefined ? {} : { cert: await text(cert), key: await text(key) }),
  }
}
