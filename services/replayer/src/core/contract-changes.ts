import type { Contract } from '@mesh/shared/core/contract'
import type { ErrorCode } from '@mesh/shared/core/error-codes'
import { MeshError } from '@mesh/shared/core/errors'

/** Parts that the raw log's partitions rest on: the same for every version of a stream. */
const FIXED: readonly string[] = ['key', 'raw.partitions']
/** Parts that a topic or table got when it was made: a live version keeps them, a candidate gets its own. */
const PER_VERSION: readonly string[] = ['refine.cleanup', 'refine.retentionMs', 'warehouse.table']
/** Parts that could change in place and that nothing changes yet. */
const NOT_YET: readonly string[] = ['raw.retentionMs']

/** Paths (`raw.partitions`, `refine.joins`) whose values differ, in order of the contract. */
export function changedParts(before: Contract, after: Contract): string[] {
  const old = new Map(parts(before))
  return parts(after)
    .filter(([path, value]) => old.get(path) !== value)
    .map(([path]) => path)
}

/** Why the changed parts cannot be bound to the live version; empty when they can. */
export function refusedForLive(before: Contract, after: Contract): MeshError[] {
  return refused(before, after, [
    [FIXED, 'MESH_STREAM_NEEDS_RAW'],
    [PER_VERSION, 'MESH_STREAM_NEEDS_REPLAY'],
    [NOT_YET, 'MESH_CONTRACT_NOT_YET'],
  ])
}

/** Why the changed parts cannot be the contract of a candidate over the same raw topic; empty when they can. */
export function refusedForCandidate(before: Contract, after: Contract): MeshError[] {
  return refused(before, after, [
    [FIXED, 'MESH_STREAM_NEEDS_RAW'],
    [NOT_YET, 'MESH_CONTRACT_NOT_YET'],
  ])
}

function refused(
  before: Contract,
  after: Contract,
  rules: readonly (readonly [readonly string[], ErrorCode])[],
): MeshError[] {
  const old = new Map(parts(before))
  const next = new Map(parts(after))
  return changedParts(before, after).flatMap((path) => {
    const rule = rules.find(([paths]) => paths.includes(path))
    const text = `${path} cannot change from ${old.get(path)} to ${next.get(path)}`
    return rule ? [new MeshError(rule[1], text, { place: `streams/${after.name}/stream.yaml` })] : []
  })
}

/** Two levels deep is where the contract's options live; below that a part is compared as JSON. */
function parts(contract: Contract): [string, string][] {
  return Object.entries(contract).flatMap(([name, value]): [string, string][] =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).map(([key, inner]) => [`${name}.${key}`, JSON.stringify(inner)])
      : [[name, JSON.stringify(value)]],
  )
}
