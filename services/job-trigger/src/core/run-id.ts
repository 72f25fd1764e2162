import { createHash } from 'node:crypto'
import { canonicalJson } from '@mesh/shared/core/canonical-json'
import type { InputVector } from '@mesh/shared/core/runs'
import { positionKey } from './vector.ts'

export type RunIdentity = {
  readonly job: string
  readonly full: boolean
  readonly vector: InputVector
  /**
   * The instant of a schedule, the time of a request by hand, the epochs of a cutover: what tells two runs over the same input
   * apart. Empty for commit events, where the input is all there is.
   */
  readonly occasion: string
}

/** The same job, input and occasion give the same id, in any process at any time. Fits a DAG run id and a file name. */
export function runId({ job, full, vector, occasion }: RunIdentity): string {
  const ranges = vector.map((range) => [positionKey(range), range.from, range.to])
  const digest = createHash('sha256')
    .update(canonicalJson([job, full, ranges, occasion]))
    .digest('hex')
  return `${job}.${digest.slice(0, 20)}`
}
