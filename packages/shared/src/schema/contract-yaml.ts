import type { Node, Pair } from 'yaml'
import { isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import type { ContractProblem } from './contract-problem.ts'

export type YamlPath = readonly (string | number)[]

export type ContractYaml = {
  readonly value: unknown
  /** The line of the value at a path, or of the deepest parent that is there. With `key`, the line of that key of the map. */
  lineOf(path: YamlPath, key?: string): number
  readonly problems: readonly ContractProblem[]
}

/** Parses YAML 1.2 and remembers where everything stands. Syntax errors and duplicate keys are problems, not exceptions. */
export function parseContractYaml(text: string, file: string): ContractYaml {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false })
  const lineAt = (node: { range?: [number, number, number] | null } | null | undefined): number =>
    node?.range ? lines.linePos(node.range[0]).line : 1
  const problems = document.errors.map((error) => ({
    code: 'MESH_CONTRACT_INVALID' as const,
    file,
    line: lines.linePos(error.pos[0]).line,
    reason: error.message,
  }))

  function lineOf(path: YamlPath, key?: string): number {
    let node = document.contents as Node | null
    let line = lineAt(node)
    for (const step of key === undefined ? path : [...path, key]) {
      const pair = childOf(node, step)
      if (!pair) break
      line = lineAt(pair.at)
      node = pair.value
    }
    return line
  }

  return { value: problems.length > 0 ? null : document.toJS(), lineOf, problems }
}

function childOf(node: Node | null, step: string | number): { at: Node; value: Node | null } | null {
  if (isSeq(node)) {
    const item = node.items[Number(step)] as Node | undefined
    return item ? { at: item, value: item } : null
  }
  if (!isMap(node)) return null
  const pair = (node.items as Pair<Node, Node | null>[]).find((p) => isScalar(p.key) && String(p.key.value) === step)
  return pair ? { at: pair.key, value: pair.value } : null
}
