/** A statement of a Flink SQL script, without its semicolon. */
export type FlinkStatement = {
  readonly text: string
  /** Of its first word, from 1. */
  readonly line: number
  /** Tables that it inserts into; empty for one that defines something. */
  readonly targets: readonly string[]
}
export type FlinkScriptProblem = { readonly line: number; readonly reason: string }
export type FlinkScript = {
  readonly statements: readonly FlinkStatement[]
  readonly problems: readonly FlinkScriptProblem[]
}

/** What the mesh gives a script beside the job's own `vars`. */
export const FLINK_VALUES = [
  'mesh.job',
  'mesh.run',
  'mesh.execution',
  'mesh.brokers',
  'mesh.registry',
  'mesh.lake',
] as const

/** Strings, quoted names, both kinds of comments, semicolons; or one character of anything else. */
const TOKENS = /'(?:[^']|'')*'|`(?:[^`]|``)*`|--[^\n]*|\/\*[\s\S]*?\*\/|;|[A-Za-z_]\w*|[\s\S]/g
const PLACEHOLDER = /\$\{([^}]*)\}/g
const DEFINES = /^(CREATE|DROP|SET|RESET|USE|LOAD|UNLOAD|ALTER)\b/i
const INSERTS = /^(INSERT|EXECUTE\s+STATEMENT\s+SET)\b/i
const TARGET = /\bINSERT\s+(?:INTO|OVERWRITE)\s+(?:TABLE\s+)?(`[^`]+`|\w+)/gi

/**
 * Splits a script and fills in `${name}`. The script is one job: definitions, then one INSERT or one statement set, so that a run is one
 * Flink job with one end. Lines of problems are those of the text as written.
 */
export function parseFlinkScript(text: string, values: Readonly<Record<string, string>>): FlinkScript {
  const problems: FlinkScriptProblem[] = []
  const statements = split(text).map(({ text: written, line }): FlinkStatement => {
    const filled = written.replace(PLACEHOLDER, (whole, name: string, at: number) => {
      const value = Object.hasOwn(values, name) ? values[name]! : null
      if (value !== null) return value.replaceAll("'", "''")
      const known = Object.keys(values).join(', ')
      problems.push({ line: line + linesBefore(written, at), reason: `there is no \${${name}}; there are: ${known}` })
      return whole
    })
    const targets = [...bare(filled).matchAll(TARGET)].map(([, name]) => name!.replaceAll('`', ''))
    return { text: filled, line, targets: INSERTS.test(filled) ? targets : [] }
  })
  problems.push(...shapeProblems(statements))
  return { statements, problems: problems.toSorted((a, b) => a.line - b.line) }
}

function shapeProblems(statements: readonly FlinkStatement[]): FlinkScriptProblem[] {
  const problems: FlinkScriptProblem[] = []
  const inserting = statements.filter(({ text }) => INSERTS.test(text))
  for (const { text, line } of statements) {
    if (DEFINES.test(text) || INSERTS.test(text)) continue
    problems.push({ line, reason: `a job defines tables and views and inserts; it does not ${text.split(/\s/)[0]}` })
  }
  if (inserting.length === 0) problems.push({ line: 1, reason: 'nothing is inserted: the script has no INSERT' })
  for (const { line } of inserting.slice(1)) {
    problems.push({
      line,
      reason: 'a run is one Flink job: put the INSERTs into one EXECUTE STATEMENT SET BEGIN … END',
    })
  }
  const [first] = inserting
  if (first && first !== statements.at(-1) && inserting.length === 1) {
    problems.push({ line: first.line, reason: 'the INSERT is the last statement' })
  }
  return problems
}

/** A semicolon inside BEGIN … END belongs to a statement set. */
function split(text: string): { text: string; line: number }[] {
  const found: { text: string; line: number }[] = []
  let current = ''
  let begun = -1
  let depth = 0
  const close = (): void => {
    if (begun >= 0) found.push({ text: current.trim(), line: linesBefore(text, begun) + 1 })
    current = ''
    begun = -1
    depth = 0
  }
  for (const { 0: token, index } of text.matchAll(TOKENS)) {
    if (isComment(token)) {
      current += ' '
      continue
    }
    if (token === ';' && depth === 0) {
      close()
      continue
    }
    if (begun < 0 && /\S/.test(token)) begun = index
    if (begun < 0) continue
    if (/^EXECUTE\s+STATEMENT\s+SET/i.test(current)) {
      if (/^(BEGIN|CASE)$/i.test(token)) depth++
      if (/^END$/i.test(token)) depth--
    }
    current += token
  }
  close()
  return found
}

const isComment = (token: string): boolean => token.startsWith('--') || token.startsWith('/*')

/** The statement with its strings emptied. */
const bare = (text: string): string => text.replaceAll(TOKENS, (token) => (token.startsWith("'") ? "''" : token))

const linesBefore = (text: string, at: number): number => text.slice(0, at).split('\n').length - 1
