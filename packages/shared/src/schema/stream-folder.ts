import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { Ajv } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import type { Contract } from '../core/contract.ts'
import { isMeshError } from '../core/errors.ts'
import { parseJson } from '../core/json-text.ts'
import type { Sources } from '../core/source.ts'
import { declaredProblems } from '../lineage/declared-sources.ts'
import { parseRecordAvsc } from './avro-schema.ts'
import type { RawContract } from './contract-build.ts'
import { buildContract, checkContract } from './contract-build.ts'
import { followsFrom, plannedOptions } from './contract-planned.ts'
import { checkPrivacy } from './contract-privacy.ts'
import type { ContractProblem } from './contract-problem.ts'
import { contractError } from './contract-problem.ts'
import { schemaProblems } from './contract-schema.ts'
import type { ContractYaml } from './contract-yaml.ts'
import { parseContractYaml } from './contract-yaml.ts'
import { loadSourcesOf } from './source-file.ts'

/** A stream's folder, read and understood. */
export type StreamFolder = {
  /** Absolute. */
  readonly dir: string
  readonly contract: Contract
  readonly refinedAvsc: string
  readonly rawSchema: Readonly<Record<string, unknown>> | null
  /** Absolute path of refine.ts, null when there is none. */
  readonly refineFile: string | null
  /** The `sources/<name>.yaml` beside `streams/` that its ingests name. */
  readonly sources: Sources
}

/** Columns that silver and landing add (design: exactly-once); a field of that name would collide. */
const RESERVED_FIELDS: readonly string[] = [
  '_op',
  '_key',
  '_lane',
  '_topic_id',
  '_partition',
  '_offset',
  '_index',
  '_raw_offset',
  '_event_id',
  '_event_time',
  '_schema_id',
  '_hash',
  '_version',
]

/**
 * Reads `streams/<name>/`: contract, schemas and whether there is a refine.ts. Reports everything that is wrong at once.
 * @throws MeshError MESH_CONTRACT_INVALID, MESH_CONTRACT_SCHEMA or MESH_CONTRACT_NOT_YET; the message has one problem per line,
 * each with `streams/<name>/<file>:<line>`.
 */
export async function loadStreamFolder(dir: string): Promise<StreamFolder> {
  const folder = resolve(dir)
  const shown = `${basename(dirname(folder))}/${basename(folder)}`
  const file = `${shown}/stream.yaml`
  const text = await readText(join(folder, 'stream.yaml'))
  if (text === null) throw contractError([{ code: 'MESH_CONTRACT_INVALID', file, line: null, reason: 'not found' }])
  const yaml = parseContractYaml(text, file)
  const problems: ContractProblem[] = [...yaml.problems]
  if (problems.length > 0) throw contractError(problems)

  problems.push(...structureProblems(yaml, file))
  if (problems.length > 0) throw contractError(problems)
  const raw = yaml.value as RawContract
  const siblings = await foldersIn(dirname(folder))
  checkContract(raw, { folder: basename(folder), siblings }, (path, reason) => {
    problems.push({ code: 'MESH_CONTRACT_INVALID', file, line: yaml.lineOf(path), reason })
  })
  const sources = await loadSourcesOf(raw.ingest, join(dirname(dirname(folder)), 'sources'), {
    report: (path, reason) => problems.push({ code: 'MESH_CONTRACT_INVALID', file, line: yaml.lineOf(path), reason }),
    problems: (found) => problems.push(...found),
  })

  const report = (name: string, line: number | null, reason: string): void => {
    problems.push({ code: 'MESH_CONTRACT_SCHEMA', file: `${shown}/${name}`, line, reason })
  }
  const refinedAvsc = await readText(join(folder, raw.refine.schema))
  if (refinedAvsc === null) {
    const reason = `refine.schema names ${raw.refine.schema}, which is not in the folder`
    problems.push({ code: 'MESH_CONTRACT_INVALID', file, line: yaml.lineOf(['refine', 'schema']), reason })
  } else {
    const joins = (raw.refine.joins ?? []).map(({ as, stream }) => as ?? stream)
    const wrong = avscProblems(refinedAvsc, joins)
    for (const reason of wrong) report(raw.refine.schema, null, reason)
    if (raw.privacy && wrong.length === 0) {
      checkPrivacy(raw.privacy.fields, parseRecordAvsc(refinedAvsc), (path, reason) => {
        problems.push({ code: 'MESH_CONTRACT_INVALID', file, line: yaml.lineOf(path), reason })
      })
    }
  }
  const rawSchema = readRawSchema(await readText(join(folder, 'raw.schema.json')), report)
  if (rawSchema === null && raw.ingest.some((ingest) => ingest.validate === true)) {
    const line = yaml.lineOf(['ingest'])
    const reason = '`validate: true` needs raw.schema.json'
    problems.push({ code: 'MESH_CONTRACT_INVALID', file, line, reason })
  }
  if (problems.length > 0 || refinedAvsc === null) throw contractError(problems)
  const refine = join(folder, 'refine.ts')
  return {
    dir: folder,
    contract: buildContract(raw),
    refinedAvsc,
    rawSchema,
    refineFile: (await readText(refine)) === null ? null : refine,
    sources,
  }
}

function structureProblems(yaml: ContractYaml, file: string): ContractProblem[] {
  const planned = plannedOptions(yaml)
  const notYet = planned.map(({ line, option }) => ({
    code: 'MESH_CONTRACT_NOT_YET' as const,
    file,
    line,
    reason: `${option} is planned and not built`,
  }))
  const invalid = schemaProblems(yaml.value)
    .filter(({ path, key }) => !followsFrom(planned, key === undefined ? path : [...path, key]))
    .map(({ path, key, reason }) => ({
      code: 'MESH_CONTRACT_INVALID' as const,
      file,
      line: yaml.lineOf(path, key),
      reason,
    }))
  return [...notYet, ...invalid]
}

function avscProblems(avsc: string, joins: readonly string[]): string[] {
  try {
    const { fields } = parseRecordAvsc(avsc)
    // Warehouses do not tell `id` from `ID`.
    const names = new Map<string, string>(RESERVED_FIELDS.map((name) => [name, name]))
    const taken = fields.flatMap(({ name }) => {
      const other = names.get(name.toLowerCase())
      names.set(name.toLowerCase(), name)
      return other === undefined ? [] : [`field ${name} has the column name of ${other}`]
    })
    return [...taken, ...declaredProblems(avsc, joins)]
  } catch (error) {
    if (isMeshError(error)) return [error.message]
    throw error
  }
}

type ReportFile = (name: string, line: number | null, reason: string) => void

function readRawSchema(text: string | null, report: ReportFile): Readonly<Record<string, unknown>> | null {
  if (text === null) return null
  const name = 'raw.schema.json'
  try {
    const schema = parseJson(text, { code: 'MESH_CONTRACT_SCHEMA' })
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
      report(name, null, 'a JSON Schema is an object')
      return null
    }
    const declared = (schema as Record<string, unknown>)['$schema']
    const draft = typeof declared === 'string' ? declared : ''
    const options = { strict: false, validateFormats: false }
    const ajv = draft.includes('2020-12') || draft.includes('2019-09') ? new Ajv2020(options) : new Ajv(options)
    ajv.compile(schema)
    return schema as Record<string, unknown>
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const line = /\(line (\d+),/.exec(error.message)
    report(name, line ? Number(line[1]) : null, error.message)
    return null
  }
}

async function foldersIn(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true })
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
}

async function readText(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}
