/** Per member, per topic the partitions: partition p of every topic goes to one member. Deterministic in the member ids. */
export function coPartition(
  members: readonly string[],
  partitionsOf: Readonly<Record<string, readonly number[]>>,
): Record<string, Record<string, number[]>> {
  const sorted = [...members].sort()
  const assignment: Record<string, Record<string, number[]>> = Object.fromEntries(sorted.map((member) => [member, {}]))
  for (const topic of Object.keys(partitionsOf).sort()) {
    for (const partition of partitionsOf[topic]!) {
      const own = assignment[sorted[partition % sorted.length]!]!
      own[topic] ??= []
      own[topic].push(partition)
    }
  }
  return assignment
}
