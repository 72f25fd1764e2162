import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Removes every `<stream>/v<N>` that is not among `kept`. */
export function removeVersionFolders(
  dir: string,
  kept: readonly { readonly stream: string; readonly version: number }[],
): void {
  const names = new Set(kept.map(({ stream, version }) => join(stream, `v${version}`)))
  for (const stream of entries(dir)) removeOthers(dir, names, stream)
}

/** Removes what lies in `dir`, or in a folder of it, and is not named. */
export function removeOthers(dir: string, kept: ReadonlySet<string>, folder = ''): void {
  for (const entry of entries(join(dir, folder))) {
    const name = join(folder, entry)
    if (!kept.has(name)) rmSync(join(dir, name), { recursive: true, force: true })
  }
}

function entries(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
