import type { Contract } from '@mesh/shared/core/contract'
import { type JoinSide, tableName, tableScope } from '@mesh/shared/core/join-scope'
import type { PlannedJoin } from '@mesh/shared/core/replay-api'
import { liveVersion, type StreamVersions } from '@mesh/shared/core/versions'
import type { Bundles } from './ports.ts'

export type PlannedBundle = {
  readonly contract: Contract
  /** What is bound today; null for a stream that was never applied. */
  readonly state: StreamVersions | null
  /** Joined streams; those that are not applied are left out. */
  readonly joined: ReadonlyMap<string, StreamVersions>
}

/** Which part of each joined table the enricher's instances will hold, by the rule that they go by themselves. */
export async function planJoins(bundles: Bundles, { contract, state, joined }: PlannedBundle): Promise<PlannedJoin[]> {
  const { joins } = contract.refine
  if (joins.length === 0) return []
  const before = state === null ? [] : await contractsOf(bundles, state)
  const own: JoinSide = { partitions: contract.raw.partitions, contracts: [...before, contract] }
  const rules = own.contracts.flatMap(({ refine }) => refine.joins)
  const planned: PlannedJoin[] = []
  for (const rule of joins) {
    const other = joined.get(rule.stream)
    if (other === undefined) continue
    const ofTable = rules.filter((one) => tableName(one) === tableName(rule))
    const side = { partitions: other.partitions, contracts: await contractsOf(bundles, other) }
    const scope = tableScope(ofTable, own, side)
    planned.push({
      as: rule.as,
      stream: rule.stream,
      scope: scope.kind,
      reason: scope.kind === 'global' ? scope.reason : null,
    })
  }
  return planned
}

async function contractsOf(bundles: Bundles, state: StreamVersions): Promise<Contract[]> {
  const loaded = await Promise.all(liveVersion(state).bundles.map(({ hash }) => bundles.load(hash)))
  return loaded.map(({ contract }) => contract)
}
