/** Where on a record's path it went wrong. */
export type Stage = 'decode' | 'join' | 'refine' | 'encode' | 'emit'

/** Why a record is a dead letter: everything its error headers say. */
export type Problem = {
  readonly stage: Stage
  /** A MESH_ code, or the code that refine.ts gave. */
  readonly code: string
  /** True for a code of the mesh, which is bounded and may label a metric. */
  readonly own: boolean
  readonly message: string
  readonly errorName: string
  readonly stack: string | null
}

/** A problem from something thrown. `error` may be anything: user code throws what it likes. */
export function problemOf(stage: Stage, code: string, error: unknown): Problem {
  const thrown = error instanceof Error ? error : null
  return {
    stage,
    code,
    own: true,
    message: textOf(() => (thrown ? thrown.message : String(error))),
    errorName: textOf(() => (thrown ? thrown.name : typeof error)),
    stack: thrown && stage === 'refine' ? textOf(() => thrown.stack ?? '') : null,
  }
}

export function problem(stage: Stage, code: string, message: string): Problem {
  return { stage, code, own: true, message, errorName: 'MeshError', stack: null }
}

/** The dead letter that refine.ts asked for. */
export function refusal(code: string, reason: string): Problem {
  return { stage: 'refine', code, own: false, message: reason, errorName: 'DeadLetter', stack: null }
}

// A thrown object may have getters that throw again.
function textOf(read: () => unknown): string {
  try {
    return String(read())
  } catch {
    return 'unreadable'
  }
}
