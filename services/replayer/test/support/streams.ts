import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { freezeBundle, putBundle } from '@mesh/shared/schema/bundle'
import type { Bundle } from '@mesh/shared/schema/port'
import { loadStreamFolder } from '@mesh/shared/schema/stream-folder'

export type StreamText = {
  readonly name: string
  /** stream.yaml after its name. */
  readonly yaml?: string
  readonly fields?: readonly Readonly<Record<string, unknown>>[]
  /** Streams whose folders lie beside it. */
  readonly besides?: readonly string[]
}

export const MINIMAL = 'raw: { partitions: 2, retention: 7d }\n'

/** Freezes a stream folder as `mesh streams apply` does, and puts its bundle into the store. */
export async function putStream(store: ObjectStore, stream: StreamText): Promise<Bundle> {
  const { name, yaml = MINIMAL, fields = [{ name: 'n', type: 'long' }], besides = [] } = stream
  const root = await mkdtemp(join(tmpdir(), 'mesh-replayer-'))
  try {
    const folder = join(root, 'streams', name)
    for (const other of [name, ...besides]) await mkdir(join(root, 'streams', other), { recursive: true })
    const refine = yaml.includes('refine:') ? '' : 'refine: { schema: refined.avsc }\n'
    await writeFile(join(folder, 'stream.yaml'), `name: ${name}\ningest: [{ kind: events }]\n${refine}${yaml}`)
    const record = { type: 'record', name: 'Refined', namespace: 'test', fields }
    await writeFile(join(folder, 'refined.avsc'), JSON.stringify(record))
    const bundle = await freezeBundle(await loadStreamFolder(folder))
    await putBundle(store, bundle)
    return bundle
  } finally {
    await rm(root, { recursive: true, force: true, maxRetries: 10 })
  }
}
