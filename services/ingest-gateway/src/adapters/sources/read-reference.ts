import { MeshError } from '@mesh/shared/core/errors'
import { readSecret } from '../../config.ts'

/** What `env:NAME` or `file:/path` stands for; other text as it is. @throws MeshError MESH_SECRET_MISSING */
export async function readReference(text: string): Promise<string> {
  if (!text.startsWith('env:') && !text.startsWith('file:/')) return text
  const value = await readSecret(text)
  if (value === null) throw new MeshError('MESH_SECRET_MISSING', `${text} is not set`, { place: text })
  return value
}
