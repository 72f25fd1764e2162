import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Ingest } from '../core/contract.ts'
import type { Source, Sources } from '../core/source.ts'
import { nearest } from '../runtime/config.ts'
import { type RawIngest, sourceKindsOf } from './contract-ingest.ts'
import type { ContractProblem } from './contract-problem.ts'
import { sourceProblems } from './contract-schema.ts'
import { parseContractYaml, type YamlPath } from './contract-yaml.ts'
import { buildSource } from './source-build.ts'

export type LoadedSource = { readonly source: Source | null; readonly problems: readonly ContractProblem[] }

/** Reads `<folder>/<name>.yaml`; null when there is no such file. */
export async function loadSourceFile(folder: string, name: string): Promise<LoadedSource | null> {
  const file = `sources/${name}.yaml`
  const text = await readFile(join(folder, `${name}.yaml`), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (text === null) return null
  const yaml = parseContractYaml(text, file)
  const problems: ContractProblem[] = [...yaml.problems]
  const report = (line: number, reason: string): void => {
    problems.push({ code: 'MESH_CONTRACT_INVALID', file, line, reason })
  }
  if (problems.length === 0) {
    for (const { path, key, reason } of sourceProblems(yaml.value)) report(yaml.lineOf(path, key), reason)
  }
  if (problems.length === 0 && (yaml.value as { name: string }).name !== name) {
    report(yaml.lineOf(['name']), `name must be the file's name, ${name}`)
  }
  if (problems.length === 0) {
    const found = certificateProblem(yaml.value as Record<string, unknown>)
    if (found) report(yaml.lineOf([found.key]), found.reason)
  }
  return { source: problems.length > 0 ? null : buildSource(yaml.value as Record<string, unknown>), problems }
}

/** A certificate is shown over TLS, and without its key it is worth nothing; a connection that may be plain would go without it. */
function certificateProblem(raw: Readonly<Record<string, unknown>>): { key: string; reason: string } | null {
  const [has, lacks] = 'cert' in raw ? ['cert', 'key'] : ['key', 'cert']
  if (!(has in raw)) return null
  if (!(lacks in raw)) return { key: has, reason: `\`${has}\` needs \`${lacks}\` beside it` }
  switch (raw['kind']) {
    case 'postgres': {
      const ssl = String(raw['ssl'])
      if (ssl === 'require') return null
      if (!ssl.startsWith('verify-')) {
        return { key: has, reason: '`cert` needs `ssl: require`, `verify-ca` or `verify-full`' }
      }
      // The driver's way to the public authorities knows of no certificate of the client's.
      return 'ca' in raw ? null : { key: has, reason: `\`cert\` with \`ssl: ${ssl}\` needs \`ca\`` }
    }
    case 'http':
      return String(raw['url']).startsWith('http:') ? { key: has, reason: '`cert` needs a `url` of https' } : null
    default:
      return raw['tls'] === true ? null : { key: has, reason: '`cert` needs `tls: true`' }
  }
}

/**
 * The sources that a stream's ingests name. `report` hears of a name that has no file, and of a kind that the ingest cannot be
 * pulled from; `problems` of the files themselves.
 */
export async function loadSourcesOf(
  ingests: readonly RawIngest[],
  folder: string,
  hear: {
    readonly report: (path: YamlPath, reason: string) => void
    readonly problems: (found: readonly ContractProblem[]) => void
  },
): Promise<Sources> {
  const sources: Record<string, Source> = {}
  const files = new Map<string, LoadedSource | null>()
  for (const [i, { kind, source: name, collection }] of ingests.entries()) {
    if (name === undefined || sourceKindsOf(kind).length === 0) continue
    const seen = files.has(name)
    const loaded = seen ? files.get(name)! : await loadSourceFile(folder, name)
    files.set(name, loaded)
    if (loaded === null) hear.report(['ingest', i, 'source'], await missing(folder, name))
    else if (loaded.source === null) hear.problems(seen ? [] : loaded.problems)
    else {
      const reason = mismatch(kind, loaded.source)
      if (reason) hear.report(['ingest', i, 'source'], reason)
      if (collection !== undefined && loaded.source.kind === 'postgres') {
        hear.report(
          ['ingest', i, 'collection'],
          `\`collection\` belongs to MongoDB; ${name} is postgres: write \`table\``,
        )
      }
      sources[name] = loaded.source
    }
  }
  return sources
}

function mismatch(kind: Ingest['kind'], source: Source): string | null {
  const kinds = sourceKindsOf(kind)
  if (kinds.includes(source.kind)) return null
  return `ingest kind ${kind} is pulled from a source of kind ${kinds.join(' or ')}; ${source.name} is ${source.kind}`
}

async function missing(folder: string, name: string): Promise<string> {
  const entries = await readdir(folder).catch(() => [])
  const names = entries.filter((entry) => entry.endsWith('.yaml')).map((entry) => entry.slice(0, -'.yaml'.length))
  const near = nearest(name, names)
  return `there is no sources/${name}.yaml${near === undefined ? '' : `; did you mean ${near}?`}`
}
