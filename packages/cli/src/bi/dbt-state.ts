import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DbtManifest } from '@mesh/shared/lineage/dbt-manifest'

/** `transforms/bi/dbt.json`: what dbt's manifest said when the BI files were made, and of which files it said so. */
export type DbtState = {
  /** File of the dbt project → SHA-256. */
  readonly files: Readonly<Record<string, string>>
  readonly manifest: DbtManifest
}

export const STATE_FILE: string = join('transforms', 'bi', 'dbt.json')
export const DBT_FOLDER: string = join('transforms', 'dbt')
const NOTHING: DbtManifest = { models: [], sources: [], exposures: [] }

/** SHA-256 of every file that dbt's manifest is made from. */
export async function dbtFiles(projectDir: string): Promise<Record<string, string>> {
  const folder = join(projectDir, DBT_FOLDER)
  const entries = await readdir(join(folder, 'models'), { recursive: true }).catch(() => [])
  const names = entries.filter((name) => /\.(?:sql|yml)$/.test(name)).map((name) => join('models', name))
  const hashes: Record<string, string> = {}
  for (const name of ['dbt_project.yml', ...names].sort()) {
    const bytes = await readFile(join(folder, name)).catch(() => null)
    if (bytes !== null) hashes[name] = createHash('sha256').update(bytes).digest('hex')
  }
  return hashes
}

/** The manifest as it is committed, with a remark where the dbt project has moved on or was never read. */
export async function readDbtState(
  projectDir: string,
): Promise<{ readonly manifest: DbtManifest; readonly remark: string | null }> {
  const text = await readFile(join(projectDir, STATE_FILE), 'utf8').catch(() => null)
  if (text === null)
    return { manifest: NOTHING, remark: `gold is left out: there is no ${STATE_FILE}; mesh bi generate writes it` }
  const { files, manifest } = JSON.parse(text) as DbtState
  const present = await dbtFiles(projectDir)
  const changed = [...new Set([...Object.keys(files), ...Object.keys(present)])].filter(
    (name) => files[name] !== present[name],
  )
  if (changed.length === 0) return { manifest, remark: null }
  return {
    manifest,
    remark: `gold is as of the last mesh bi generate; since then changed: ${changed.sort().join(', ')}`,
  }
}
