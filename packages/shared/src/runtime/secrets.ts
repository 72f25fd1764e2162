import { readFile } from 'node:fs/promises'
import { MeshError } from '../core/errors.ts'

export type ReadSecret = (reference: string) => Promise<string>

/**
 * What `env:NAME` or `file:/path` stands for; a file's last line feed is not part of it.
 * @throws MeshError MESH_SECRET_MISSING naming the reference, never the secret
 */
export function createSecretReader(env: Readonly<Record<string, string | undefined>>): ReadSecret {
  return async function readSecret(reference) {
    const [, kind, name] = /^(env|file):(.+)$/.exec(reference) ?? []
    const value = kind === 'env' ? env[name!] : kind === 'file' ? await readIfThere(name!) : undefined
    if (value) return value
    throw new MeshError('MESH_SECRET_MISSING', `${reference} is not set or empty`, { place: reference })
  }
}

/** The same for who asks whether it is there: null where there is nothing, or nothing that can be read. */
export async function findSecret(
  env: Readonly<Record<string, string | undefined>>,
  reference: string,
): Promise<string | null> {
  const name = reference.slice(reference.indexOf(':') + 1)
  const text = reference.startsWith('env:') ? (env[name] ?? '') : await readFile(name, 'utf8').catch(() => '')
  return text.replace(/\r?\n$/, '') || null
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).replace(/\r?\n$/, '')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
