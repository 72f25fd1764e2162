import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isMeshError, MeshError } from '../core/errors.ts'
import { type JobDefinition, parseJobFile } from './job-file.ts'

export type JobFile = {
  /** The file's name without `.yaml`. */
  readonly name: string
  /** `jobs/<name>.yaml`. */
  readonly file: string
  readonly text: string
  readonly job: JobDefinition | null
  /** Why it is no job. */
  readonly error: MeshError | null
}

/** Every `*.yaml` of the folder, good or bad, by name. A folder that is not there holds none. */
export async function readJobsFolder(folder: string, streams: readonly string[] | null): Promise<JobFile[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw new MeshError('MESH_JOB_INVALID', 'the jobs folder cannot be read', { place: folder, cause: error })
  })
  const files = names.filter((name) => name.endsWith('.yaml') && !name.startsWith('.')).sort()
  return Promise.all(
    files.map(async (name) => {
      const file = `jobs/${name}`
      const own = { name: name.slice(0, -'.yaml'.length), file }
      try {
        const text = await readFile(join(folder, name), 'utf8')
        return { ...own, text, ...parsed(text, file, streams) }
      } catch (error) {
        const unreadable = new MeshError('MESH_JOB_INVALID', `${file} cannot be read`, { place: file, cause: error })
        return { ...own, text: '', job: null, error: unreadable }
      }
    }),
  )
}

function parsed(text: string, file: string, streams: readonly string[] | null): Pick<JobFile, 'job' | 'error'> {
  try {
    return { job: parseJobFile(text, { file, streams }), error: null }
  } catch (error) {
    if (!isMeshError(error)) throw error
    return { job: null, error }
  }
}
