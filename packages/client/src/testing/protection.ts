import { randomBytes } from 'node:crypto'
import type { Contract } from '@mesh/shared/core/contract'
import { createMemoryKeyStore } from '@mesh/shared/privacy/key-store'
import { createProtect, type Protect } from '@mesh/shared/privacy/protect'
import { masterKeys } from '@mesh/shared/privacy/seal'
import { createSubjectKeys } from '@mesh/shared/privacy/subject-keys'

/** A secret of tests: a run needs none of the contract's. */
const SECRET = 'mesh test secret, which protects nothing'

/** The contract's privacy rules under keys that live as long as the run; null without rules. */
export function protection({
  name,
  privacy,
}: Contract): { protect: Protect; fetchSubjects: (names: readonly string[]) => Promise<void> } | null {
  if (!privacy) return null
  const keys = masterKeys(SECRET, 'a test')
  const subjects = createSubjectKeys({
    stream: name,
    keys,
    store: createMemoryKeyStore(),
    holdMs: Number.MAX_SAFE_INTEGER,
    maxSubjects: Number.MAX_SAFE_INTEGER,
    now: () => 0,
    randomBytes,
  })
  return {
    protect: createProtect({ stream: name, rules: privacy.fields, keys, subjects, onErased: () => {} }),
    async fetchSubjects(names) {
      await Promise.all(names.map((subject) => subjects.fetch(subject)))
    },
  }
}
