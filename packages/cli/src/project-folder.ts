import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'

/** The folder named by `--project`, else the nearest one upwards from `from`, that has `streams/`. */
export function findProject(from: string, named?: string): string {
  if (named !== undefined) {
    const folder = resolve(from, named)
    if (isProject(folder)) return folder
    throw new MeshError('MESH_CLI_NO_PROJECT', 'the project folder has no streams/', { place: folder })
  }
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    if (isProject(folder)) return folder
    if (dirname(folder) === folder) break
  }
  throw new MeshError('MESH_CLI_NO_PROJECT', 'no folder from here upwards has streams/', { place: resolve(from) })
}

function isProject(folder: string): boolean {
  return existsSync(join(folder, 'streams'))
}
