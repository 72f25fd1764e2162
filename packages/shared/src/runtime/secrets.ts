import { readFile } from 'node:fs/promises'
import { MeshError } from '../core/errors.ts'

export type ReadSecret = (reference: string) => Promise<string>

/**
 * What `env:NAME` or `file:/path` stands for; a last line feed is not part of it.
 * @throws MeshError MESH_SECRET_MISSING naming the reference, never the secret
 */
export function createSecretReader(env: Readonly<Record<string, string | undefined>>): ReadSecret {
  return async function readSecret(reference) {
    const value = await look(env, reference)
    if (value) return value
    throw new MeshError('MESH_SECRET_MISSING', `${reference} is not set or empty`, { place: reference })
  }
}

/** The same for who asks whether it is there: null where there is nothing, or nothing that can be read. */
export async function findSecret(
  env: Readonly<Record<string, string | undefined>>,
  reference: string,
): Promise<string | null> {
  return (await look(env, reference).catch(() => undefined)) || null
}

/** Undefined where there is nothing; a file that may not be read is the file system's error. */
async function look(env: Readonly<Record<string, string | undefined>>, reference: string): Promise<string | undefined> {
  const [, kind, name = ''] = /^(env|file):(.+)$/.exec(reference) ?? []
  if (kind === undefined) return undefined
  const text = kind === 'env' ? env[name] : await readIfThere(name)
  return text?.replace(/\r?\n$/, '')
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
