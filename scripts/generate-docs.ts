/**
 * Writes the generated reference pages. `node scripts/generate-docs.ts` rewrites them; a test renders them again and compares.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ERRORS } from '@mesh/shared/core/error-codes'
import type { ConfigSchema, Setting } from '@mesh/shared/runtime/config'

const ROOT = join(import.meta.dirname, '..')
export const SERVICES = [
  'ingest-gateway',
  'enricher',
  'lake-sink',
  'warehouse-sink',
  'replayer',
  'job-trigger',
  'console',
] as const

/** Page path → content. */
export async function renderPages(): Promise<Map<string, string>> {
  return new Map([
    ['docs/reference/errors.md', renderErrors()],
    ['docs/reference/config.md', await renderConfig()],
  ])
}

function renderErrors(): string {
  const rows = Object.entries(ERRORS)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, { status, hint }]) => `### ${code}\nHTTP ${status}. ${hint}\n`)
  return `# Error codes\n\nGenerated from \`packages/shared/src/core/error-codes.ts\`. A code is never reused.\n\n${rows.join('\n')}`
}

async function renderConfig(): Promise<string> {
  const sections: string[] = []
  for (const service of SERVICES) {
    const schema = await configOf(service)
    const rows = Object.values(schema).map(
      (setting) => `| \`${setting.env}\` | ${setting.kind} | ${defaultText(setting)} | ${setting.doc} |`,
    )
    sections.push(`## ${service}\n\n| variable | kind | default | meaning |\n|---|---|---|---|\n${rows.join('\n')}\n`)
  }
  return `# Configuration\n\nGenerated from each service's \`src/config.ts\`. A variable under a service's own prefix that is not listed here is refused.\n\n${sections.join('\n')}`
}

/** A service's settings, from its `config.ts`: the one export that is a table of settings. */
export async function configOf(service: string): Promise<ConfigSchema> {
  const module = (await import(pathToFileURL(join(ROOT, 'services', service, 'src', 'config.ts')).href)) as Record<
    string,
    unknown
  >
  for (const exported of Object.values(module)) {
    if (isConfigSchema(exported)) return exported
  }
  throw new Error(`services/${service}/src/config.ts exports no settings`)
}

function isConfigSchema(value: unknown): value is ConfigSchema {
  if (typeof value !== 'object' || value === null) return false
  const settings = Object.values(value)
  return (
    settings.length > 0 &&
    settings.every((setting) => typeof (setting as Setting)?.env === 'string' && 'kind' in (setting as Setting))
  )
}

function defaultText(setting: Setting): string {
  if (setting.default === undefined) return '**required**'
  if (setting.default === null) return '(none)'
  if (setting.secret) return '(secret)'
  return setting.kind === 'duration' ? durationText(setting.default as number) : `\`${String(setting.default)}\``
}

function durationText(ms: number): string {
  for (const [unit, size] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const) {
    if (ms >= size && ms % size === 0) return `\`${ms / size}${unit}\``
  }
  return `\`${ms}ms\``
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const [path, content] of await renderPages()) await writeFile(join(ROOT, path), content)
}
