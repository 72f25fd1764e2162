import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Removes every `<stream>/v<N>` that is not among `kept`. */
export function removeVersionFolders(
  dir: string,
  kept: readonly { readonly stream: string; readonly version: number }[],
): void {
  const names = new Set(kept.map(({ stream, version }) => join(stream, `v${version}`)))
  for (const stream of entries(dir)) {
    for (const version of entries(join(dir, stream))) {
      if (!names.has(join(stream, version))) rmSync(join(dir, stream, version), { recursive: true, force: true })
    }
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
