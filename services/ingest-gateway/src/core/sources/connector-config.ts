import type { ConnectSource, MongodbSource, PostgresSource } from '@mesh/shared/core/source'
import { tablesOf } from './desired-sources.ts'
import type { SourceUse } from './source-types.ts'

export type ConnectorConfig = Readonly<Record<string, string>>

export const connectorName = (source: string): string => `mesh-${source}`
/** Of slot and publication: lower case, digits and `_`. */
export const databaseName = (source: string): string => `mesh_${source.replaceAll('-', '_')}`
/** Where logical messages of a source arrive: the auditor's marks. */
export const markersTopic = (source: string): string => `mesh.markers.${source}`

const HEARTBEAT_MS = 10_000

const DEBEZIUM_CONTEXT = ['connectorLogicalName', 'taskId', 'connectorName', 'runId'].map(
  (name) => `__debezium.context.${name}`,
)

/**
 * Debezium's PostgreSQL connector for a source: one slot, one publication, which the mesh makes and not Debezium. `tables` are those
 * that may be captured. Decimals and times arrive as strings, deletes without a second record, the key as text.
 */
export function postgresConfig(source: PostgresSource, uses: readonly SourceUse[]): ConnectorConfig {
  const name = databaseName(source.name)
  const prefix = source.name
  const tables = tablesOf(uses)
  const signalTable = `${source.signalSchema}.signal`
  const transforms = [
    { name: 'signals', type: 'org.apache.kafka.connect.transforms.Filter', predicate: 'isSignal' },
    { name: 'key', type: 'io.kappamesh.connect.KeyText' },
    ...tables.map(({ table, rawTopic }, i) => route(`table${i}`, `${prefix}.${table}`, rawTopic)),
    route('markers', `${prefix}.message`, markersTopic(source.name)),
    {
      name: 'context',
      type: 'org.apache.kafka.connect.transforms.DropHeaders',
      headers: DEBEZIUM_CONTEXT.join(','),
    },
  ]
  return {
    'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
    'tasks.max': '1',
    'database.hostname': connectText(source.host),
    'database.port': connectText(source.port),
    'database.dbname': connectText(source.database),
    'database.user': connectText(source.user),
    ...(source.password === null ? {} : { 'database.password': connectText(source.password) }),
    'database.sslmode': source.ssl,
    ...trust(source),
    ...certificate(source),
    'topic.prefix': prefix,
    'plugin.name': 'pgoutput',
    'slot.name': name,
    'publication.name': name,
    'publication.autocreate.mode': 'disabled',
    'table.include.list': tables.map(({ table }) => literal(table)).join(','),
    'signal.enabled.channels': 'source',
    'signal.data.collection': signalTable,
    'snapshot.mode': source.snapshot === 'initial' ? 'initial' : 'no_data',
    // A slot that was lost or made anew is refused, never passed over.
    'offset.mismatch.strategy': 'trust_offset',
    'heartbeat.interval.ms': String(source.heartbeatMs),
    // Moves the slot of a quiet database beside a busy one, without a table of its own.
    'heartbeat.action.query': "SELECT pg_logical_emit_message(false, 'mesh.heartbeat', '')",
    'topic.heartbeat.prefix': 'mesh.heartbeat',
    'logical.decoding.message.prefix.include.list': 'mesh\\.audit',
    'decimal.handling.mode': 'string',
    'time.precision.mode': 'isostring',
    'interval.handling.mode': 'string',
    'binary.handling.mode': 'base64',
    'hstore.handling.mode': 'json',
    'include.unknown.datatypes': 'true',
    'tombstones.on.delete': 'false',
    'skipped.operations': 'none',
    'provide.transaction.metadata': 'false',
    'poll.interval.ms': '50',
    ...COMMON,
    'exactly.once.support': 'required',
    'transaction.boundary': 'poll',
    predicates: 'isSignal',
    'predicates.isSignal.type': 'org.apache.kafka.connect.transforms.predicates.TopicNameMatches',
    'predicates.isSignal.pattern': literal(`${prefix}.${signalTable}`),
    ...flatten(transforms),
  }
}

/** Without a file of its own the driver would look for one in a home folder; the public certificates are Java's. */
function trust({ ssl, ca }: PostgresSource): ConnectorConfig {
  if (ssl !== 'verify-ca' && ssl !== 'verify-full') return {}
  return ca === undefined
    ? { 'database.sslfactory': 'org.postgresql.ssl.DefaultJavaSSLFactory' }
    : { 'database.sslrootcert': ca.slice('file:'.length) }
}

/** Paths: Debezium and the driver read the PEMs themselves. The driver would else look for some in a home folder. */
function certificate({ cert, key }: PostgresSource): ConnectorConfig {
  if (cert === undefined || key === undefined) return {}
  return { 'database.sslcert': cert.slice('file:'.length), 'database.sslkey': key.slice('file:'.length) }
}

/**
 * Debezium's MongoDB connector for a source: its collections, each sent to its stream; the document's `_id` as text as key, the whole
 * document after a change, the one before it where the collection keeps pre-images.
 */
export function mongodbConfig(source: MongodbSource, uses: readonly SourceUse[]): ConnectorConfig {
  const tables = tablesOf(uses)
  return {
    'connector.class': 'io.debezium.connector.mongodb.MongoDbConnector',
    'tasks.max': '1',
    'mongodb.connection.string': connectText(source.url),
    'topic.prefix': source.name,
    'collection.include.list': tables.map(({ table }) => literal(table)).join(','),
    'capture.mode': 'change_streams_update_full',
    'capture.mode.full.update.type': source.updates === 'post-image' ? 'post_image' : 'lookup',
    // A change over 16 MB stops the task, and the reason is told: skipping it would be a hole that nobody sees.
    'cursor.oversize.handling.mode': 'fail',
    'snapshot.mode': source.snapshot === 'none' ? 'no_data' : 'initial',
    'heartbeat.interval.ms': String(source.heartbeatMs ?? HEARTBEAT_MS),
    'topic.heartbeat.prefix': 'mesh.heartbeat',
    'tombstones.on.delete': 'false',
    'skipped.operations': 'none',
    'provide.transaction.metadata': 'false',
    ...COMMON,
    'exactly.once.support': 'required',
    'transaction.boundary': 'poll',
    ...flatten([
      { name: 'key', type: 'io.kappamesh.connect.KeyText', 'document.id': 'true' },
      ...tables.map(({ table, rawTopic }, i) => route(`table${i}`, `${source.name}.${table}`, rawTopic)),
      {
        name: 'context',
        type: 'org.apache.kafka.connect.transforms.DropHeaders',
        headers: DEBEZIUM_CONTEXT.join(','),
      },
    ]),
  }
}

/** A connector as it was written, plus the way of its records into the raw topics. Its own transforms come first. */
export function rawConnectorConfig(source: ConnectSource, uses: readonly SourceUse[]): ConnectorConfig {
  const own = Object.fromEntries(Object.entries(source.config).map(([key, value]) => [key, connectText(value)]))
  const routes = uses.flatMap(({ ingest, rawTopic }, i) =>
    ingest.kind !== 'connect'
      ? []
      : ingest.topic === null
        ? [{ ...route(`mesh${i}`, '', rawTopic), regex: '.*' }]
        : [route(`mesh${i}`, ingest.topic, rawTopic)],
  )
  const added = flatten([{ name: 'meshKey', type: 'io.kappamesh.connect.KeyText' }, ...routes])
  const transforms = [own['transforms'], added['transforms']].filter((list) => list).join(',')
  return { ...COMMON, ...own, ...added, transforms }
}

/** Topics that are not the mesh's raw topics (heartbeats, marks) are made by Connect, in one partition. */
const COMMON: ConnectorConfig = {
  'key.converter': 'org.apache.kafka.connect.storage.StringConverter',
  'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
  'value.converter.schemas.enable': 'false',
  'topic.creation.default.replication.factor': '-1',
  'topic.creation.default.partitions': '1',
  // The reconciler starts failed tasks again; Connect itself gives up at once.
  'errors.tolerance': 'none',
}

type Transform = Readonly<Record<string, string>> & { readonly name: string }

const route = (name: string, from: string, to: string): Transform => ({
  name,
  type: 'org.apache.kafka.connect.transforms.RegexRouter',
  regex: literal(from),
  replacement: to.replaceAll('\\', '\\\\').replaceAll('$', '\\$'),
})

function flatten(transforms: readonly Transform[]): ConnectorConfig {
  const entries = transforms.flatMap(({ name, ...keys }) =>
    Object.entries(keys).map(([key, value]) => [`transforms.${name}.${key}`, value] as const),
  )
  return { transforms: transforms.map(({ name }) => name).join(','), ...Object.fromEntries(entries) }
}

/** Matches only the text itself, as a Java regular expression. */
function literal(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

/** A reference in Connect's own form, so that secrets are read by the worker and never stored by it; other text as it is. */
export function connectText(text: string): string {
  if (text.startsWith('env:')) return `\${env:${text.slice('env:'.length)}}`
  if (!text.startsWith('file:/')) return text
  const path = text.slice('file:'.length)
  const slash = path.lastIndexOf('/')
  return `\${dir:${path.slice(0, slash) || '/'}:${path.slice(slash + 1)}}`
}
