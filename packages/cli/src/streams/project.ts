import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import { freezeBundle } from '@mesh/shared/schema/bundle'
import type { Bundle } from '@mesh/shared/schema/port'
import { loadStreamFolder } from '@mesh/shared/schema/stream-folder'

/** The bundles of a project's `streams/*` folders, those that others join first. */
export async function freezeProject(projectRoot: string, only: readonly string[] = []): Promise<Bundle[]> {
  const folder = join(projectRoot, 'streams')
  await projectStreams(projectRoot, only)
  const names = await streamNames(folder)
  const bundles: Bundle[] = []
  for (const name of names) bundles.push(await freezeBundle(await loadStreamFolder(join(folder, name))))
  const ordered = byJoins(bundles)
  return only.length === 0 ? ordered : ordered.filter((bundle) => only.includes(bundle.contract.name))
}

/** The names of a project's streams, or those of `only`. @throws MESH_STREAM_UNKNOWN for one that has no folder */
export async function projectStreams(projectRoot: string, only: readonly string[] = []): Promise<readonly string[]> {
  const names = await streamNames(join(projectRoot, 'streams'))
  const unknown = only.find((name) => !names.includes(name))
  if (unknown === undefined) return only.length === 0 ? names : only
  const there = names.join(', ')
  throw new MeshError('MESH_STREAM_UNKNOWN', `no folder streams/${unknown} in ${projectRoot}; there are: ${there}`)
}

export async function streamNames(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    return entries
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map((entry) => entry.name)
      .sort()
  } catch (error) {
    throw new MeshError('MESH_CONTRACT_INVALID', `no streams folder at ${folder}`, { cause: error })
  }
}

/** Joined streams before those that join them. @throws MESH_CONTRACT_INVALID on a cycle of joins. */
export function byJoins(bundles: readonly Bundle[]): Bundle[] {
  const byName = new Map(bundles.map((bundle) => [bundle.contract.name, bundle]))
  const ordered: Bundle[] = []
  const state = new Map<string, 'visiting' | 'done'>()
  function visit(bundle: Bundle, path: readonly string[]): void {
    const { name } = bundle.contract
    if (state.get(name) === 'done') return
    if (state.get(name) === 'visiting') {
      throw new MeshError(
        'MESH_CONTRACT_INVALID',
        `streams join each other in a circle: ${[...path, name].join(' → ')}`,
      )
    }
    state.set(name, 'visiting')
    for (const join of bundle.contract.refine.joins) {
      const joined = byName.get(join.stream)
      if (joined) visit(joined, [...path, name])
    }
    state.set(name, 'done')
    ordered.push(bundle)
  }
  for (const bundle of bundles) visit(bundle, [])
  return ordered
}
