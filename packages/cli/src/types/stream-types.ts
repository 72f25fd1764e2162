import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { loadStreamFolder, type StreamFolder } from '@mesh/shared/schema/stream-folder'
import type { CommandContext } from '../command.ts'
import { projectStreams } from '../streams/project.ts'
import { GENERATED, generatedFile } from './generated-file.ts'

export type StreamTypes = {
  readonly stream: string
  /** Absolute path of generated.ts. */
  readonly file: string
  readonly text: string
  /** What lies there; null = nothing. */
  readonly present: string | null
  /** The folder uses its types: the file is there, or refine.ts asks for it. */
  readonly used: boolean
}

/** The types of the named streams of a project, as they should be and as they are. @throws MeshError of contract or schema */
export async function streamTypes(projectRoot: string, names: readonly string[]): Promise<StreamTypes[]> {
  const folder = join(projectRoot, 'streams')
  const loaded = new Map<string, StreamFolder>()
  async function load(name: string): Promise<StreamFolder> {
    const known = loaded.get(name) ?? (await loadStreamFolder(join(folder, name)))
    loaded.set(name, known)
    return known
  }
  const types: StreamTypes[] = []
  for (const name of names) {
    const stream = await load(name)
    const joined = new Map<string, StreamFolder>()
    for (const rule of stream.contract.refine.joins) joined.set(rule.stream, await load(rule.stream))
    const file = join(folder, name, GENERATED)
    const present = await readIfThere(file)
    const refine = stream.refineFile === null ? '' : await readFile(stream.refineFile, 'utf8')
    const used = present !== null || refine.includes(`./${GENERATED}`)
    types.push({ stream: name, file, text: await generatedFile(stream, joined), present, used })
  }
  return types
}

export const isStale = ({ text, present }: StreamTypes): boolean => text !== present

/** Writes what is stale or missing; returns the streams it wrote. */
export async function writeTypes(types: readonly StreamTypes[]): Promise<string[]> {
  const stale = types.filter(isStale)
  for (const { file, text } of stale) await writeFile(file, text)
  return stale.map(({ stream }) => stream)
}

/** Says which streams' types are used and stale: what runs does not depend on them, what an editor shows does. */
export async function noteStaleTypes(
  context: Pick<CommandContext, 'note' | 'projectDir'>,
  only: readonly string[] = [],
): Promise<void> {
  const projectRoot = context.projectDir()
  const types = await streamTypes(projectRoot, await projectStreams(projectRoot, only))
  for (const note of staleNotes(types)) context.note(note)
}

function staleNotes(types: readonly StreamTypes[]): string[] {
  return types
    .filter((one) => one.used && isStale(one))
    .map(({ stream, present }) => {
      const what = present === null ? 'is missing' : 'is stale'
      return `streams/${stream}/${GENERATED} ${what}: run \`mesh streams generate ${stream}\``
    })
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}
