import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Contract } from '@mesh/shared/core/contract'
import { MeshError } from '@mesh/shared/core/errors'
import { parseJson } from '@mesh/shared/core/json-text'
import { parseRecordAvsc } from '@mesh/shared/schema/avro-schema'
import { loadStreamFolder } from '@mesh/shared/schema/stream-folder'
import type { Refine } from '../refine.ts'

export type LoadedStream = {
  readonly contract: Contract
  readonly avsc: string
  readonly refine: Refine | null
  readonly samples: readonly unknown[]
}

export async function loadStream({
  folder,
  refine,
  schema,
}: {
  readonly folder: string
  readonly refine?: Refine
  readonly schema?: string
}): Promise<LoadedStream> {
  const stream = await loadStreamFolder(folder)
  const avsc = schema ?? stream.refinedAvsc
  parseRecordAvsc(avsc)
  return {
    contract: stream.contract,
    avsc,
    refine: refine ?? (stream.refineFile === null ? null : await importRefine(stream.refineFile)),
    samples: await readSamples(join(folder, 'samples')),
  }
}

async function importRefine(file: string): Promise<Refine> {
  const loaded = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as { refine?: unknown }
  if (typeof loaded.refine === 'function') return loaded.refine as Refine
  throw new MeshError('MESH_CONTRACT_REFINE', 'it does not export the function `refine`', { place: file })
}

/** Every `*.json` of the folder, by name; a file with an array is one event, as it would be on the topic. */
async function readSamples(folder: string): Promise<unknown[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const files = names.filter((name) => name.endsWith('.json')).sort()
  return Promise.all(
    files.map(async (name) => parseJson(await readFile(join(folder, name)), { place: `samples/${name}` })),
  )
}
