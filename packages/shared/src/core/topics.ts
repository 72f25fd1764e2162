/** Names of topics and consumer groups (design: topics, headers, bytes). Streams match [a-z][a-z0-9-]*, at most 60. */
export const rawTopic = (stream: string): string => `raw.${stream}.v1`
export const refinedTopic = (stream: string, version: number): string => `refined.${stream}.v${version}`
export const deadLetterTopic = (stream: string): string => `dead-letter.${stream}.v1`
/** Parked records of a version; same partitions as raw. */
export const stateTopic = (stream: string, version: number): string => `mesh.state.${stream}.v${version}`
export const replayTopic = (stream: string, job: string): string => `replay.${stream}.${job}`

export const COMMITS_TOPIC = 'mesh.commits'
export const VERSIONS_TOPIC = 'mesh.versions'
export const REPLAYS_TOPIC = 'mesh.replays'
/** Positions in what the mesh pulls, written in the transaction of the records that they speak of. */
export const CURSORS_TOPIC = 'mesh.cursors'
export const SOURCES_TOPIC = 'mesh.sources'
export const RUNS_TOPIC = 'mesh.runs'
/** OpenLineage run events, derived from the commit events and runs. */
export const LINEAGE_TOPIC = 'mesh.lineage'

export type Layer = 'refined' | 'bronze' | 'silver' | 'landing'

/** `mesh.<service>.<layer>.<stream>.v<N>`; bronze takes raw's version. */
export const groupId = (service: string, layer: Layer, stream: string, version: number): string =>
  `mesh.${service}.${layer}.${stream}.v${version}`

/** Every group name in one place, so that `verify`, the console and the services agree. */
export const enricherGroup = (stream: string, version: number): string =>
  groupId('enricher', 'refined', stream, version)
export const bronzeGroup = (stream: string): string => groupId('lake-sink', 'bronze', stream, 1)
export const silverGroup = (stream: string, version: number): string => groupId('lake-sink', 'silver', stream, version)
export const landingGroup = (stream: string, version: number): string =>
  groupId('warehouse-sink', 'landing', stream, version)

/** One group for all jobs: `mesh.commits` has one partition, so one member plans and the others stand by. */
export const JOB_TRIGGER_GROUP = 'mesh.job-trigger'
/** Lineage beside the jobs: what writes `mesh.lineage`, and what hands it on. */
export const LINEAGE_GROUP = 'mesh.job-trigger.lineage'
export const LINEAGE_RECEIVER_GROUP = 'mesh.job-trigger.lineage-receiver'

/** `shop-orders` → `SHOP_ORDERS`; the version's table is `SHOP_ORDERS__V2`. */
export const tableName = (stream: string): string => stream.replaceAll('-', '_').toUpperCase()
/** `shop-orders` → `shop_orders`: the landing table as dbt knows it, a source of `landing`. */
export const dbtSourceName = (stream: string): string => stream.replaceAll('-', '_')
/** How `dbt --select` names it. */
export const dbtSourceSelector = (stream: string): string => `source:landing.${dbtSourceName(stream)}`
export const versionTable = (table: string, version: number): string => `${table}__V${version}`

/** Headers of ours. Everything that starts with one of the reserved prefixes is stripped from outside input. */
export const HEADER = {
  src: 'mesh-src',
  origin: 'mesh-origin',
  code: 'mesh-code',
  joins: 'mesh-joins',
  replay: 'mesh-replay',
  version: 'mesh-version',
  errorCode: 'mesh-error-code',
  attempt: 'mesh-attempt',
} as const
export const RESERVED_HEADER_PREFIXES: readonly string[] = ['mesh-', '__connect']
