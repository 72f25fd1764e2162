import { MeshError } from '../core/errors.ts'
import type { YamlPath } from './contract-yaml.ts'

/** One thing wrong with a stream's folder. `line` counts from 1; null = the file as a whole. */
export type ContractProblem = {
  readonly code: 'MESH_CONTRACT_INVALID' | 'MESH_CONTRACT_NOT_YET' | 'MESH_CONTRACT_SCHEMA'
  readonly file: string
  readonly line: number | null
  readonly reason: string
}

/**
 * All problems as one error, each on its line of the message with `file:line`. The code is the gravest: an invalid contract, then
 * a bad schema, then an option that is not built. `place` is the first problem's.
 */
export function contractError(problems: readonly ContractProblem[]): MeshError {
  const order = ['MESH_CONTRACT_INVALID', 'MESH_CONTRACT_SCHEMA', 'MESH_CONTRACT_NOT_YET'] as const
  const code = order.find((candidate) => problems.some((problem) => problem.code === candidate)) ?? order[0]
  const sorted = problems.toSorted((a, b) => a.file.localeCompare(b.file) * -1 || (a.line ?? 0) - (b.line ?? 0))
  const message = sorted.map((problem) => `${placeOf(problem)}: ${problem.reason}`).join('\n')
  return new MeshError(code, message, { place: placeOf(sorted[0]!) })
}

const placeOf = ({ file, line }: ContractProblem): string => (line === null ? file : `${file}:${line}`)

/** Told of what is wrong at a place of the file. */
export type ReportProblem = (path: YamlPath, reason: string) => void
