import type {
  IngestCdc,
  IngestKafka,
  IngestPoll,
  IngestRedisKeyspace,
  IngestRedisStream,
} from '@mesh/shared/core/contract'
import { MeshError } from '@mesh/shared/core/errors'
import type { HttpSource, KafkaSource, MongodbSource, RedisSource, Source } from '@mesh/shared/core/source'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { GuardedHttp, HttpIdentity } from '@mesh/shared/runtime/guarded-http'
import type { Service } from '@mesh/shared/runtime/service'
import { createForeignDecoder } from './adapters/foreign-decoder.ts'
import { createHttpEndpoint, type HttpEndpoint } from './adapters/http-source.ts'
import { connectMongo } from './adapters/mongo-collection.ts'
import { connectRedis, type RedisConnection } from './adapters/redis-connection.ts'
import { createSourceHttp } from './adapters/source-http.ts'
import { openSourceSession } from './adapters/source-session.ts'
import type { PollSpec } from './core/poll/spec.ts'
import type { IngestStream, ReadSecret } from './core/ports.ts'
import { partKey, pollsGroup, sourceGroup } from './core/source-id.ts'
import { createKafkaReader } from './kafka-reader.ts'
import { runMongo } from './mongo-task.ts'
import { runPoll } from './poll-task.ts'
import { runRedisKeyspace } from './redis-keyspace-task.ts'
import { runRedisStream } from './redis-stream-task.ts'
import { createSourceGroups } from './source-group.ts'
import { createSourceLeader, type SourceTask } from './source-leader.ts'
import type { SourceStart } from './sources.ts'

export type SourceReadersOptions = {
  readonly kafka: KafkaPort
  readonly http: GuardedHttp
  /** A client with an authority and a certificate of its own; closed with the others. */
  readonly openHttp: (identity: HttpIdentity) => GuardedHttp
  readonly readSecret: ReadSecret
  readonly maxEventBytes: number
  readonly now: () => number
  readonly random: () => number
  readonly connectForeign: (source: KafkaSource) => Promise<KafkaPort>
  /** A source threw entries away before they were read. */
  readonly onLost: (label: string, stream: string, entries: number) => void
}

/** Puts together, per kind of ingest, what reads it. */
export function createSourceReaders(options: SourceReadersOptions): (start: SourceStart) => Service {
  const { kafka, now, random } = options
  const endpoints = new Map<string, HttpEndpoint>()
  const groups = createSourceGroups({ kafka, random })

  return function createReader(start) {
    const { ingest } = start.pulled
    switch (ingest.kind) {
      case 'poll':
        return ledBy(start, pollTask(start, ingest), pollsGroup(ingest.source))
      case 'redis-stream':
        return ledBy(start, redisStreamTask(start, ingest))
      case 'redis-keyspace':
        return ledBy(start, redisKeyspaceTask(start, ingest))
      case 'kafka':
        return kafkaReader(start, ingest)
      case 'cdc':
        return ledBy(start, mongoTask(start, ingest))
    }
  }

  function ledBy({ stream, pulled, report, led }: SourceStart, task: SourceTask, groupId?: string): Service {
    const name = sourceGroup(stream.contract.name, pulled.id)
    return createSourceLeader({
      groups,
      groupId: groupId ?? name,
      open: () => openSourceSession({ kafka, id: pulled.id, transactionalId: name, topic: stream.rawTopic, now }),
      task,
      onLed: led,
      onFailing: report.failing,
      random,
    })
  }

  function pollTask({ stream, report }: SourceStart, ingest: IngestPoll): SourceTask {
    const source = sourceOf(stream.sources, ingest.source) as HttpSource
    const { maxEventBytes } = options
    const endpoint = endpointOf(source)
    return async function poll(session, signal) {
      const spec = await specOf(source, ingest)
      return runPoll(
        { spec, source: source.name, stream, endpoint, maxEventBytes, report, now, random },
        session,
        signal,
      )
    }
  }

  /** One for every definition of a source, so that its streams keep to its limits together. */
  function endpointOf(source: HttpSource): HttpEndpoint {
    const definition = JSON.stringify(source)
    const known = endpoints.get(definition)
    if (known) return known
    const { readSecret } = options
    const http = createSourceHttp({ source, shared: options.http, open: options.openHttp, readSecret })
    const endpoint = createHttpEndpoint({ source, http, readSecret, now })
    endpoints.set(definition, endpoint)
    return endpoint
  }

  function kafkaReader({ stream, pulled, report, led }: SourceStart, ingest: IngestKafka): Service {
    const source = sourceOf(stream.sources, ingest.source) as KafkaSource
    const groupId = sourceGroup(stream.contract.name, pulled.id)
    return createKafkaReader({
      ingest,
      stream,
      groupId,
      connect: () => options.connectForeign(source),
      open: (partition) => {
        const id = partKey(pulled.id, String(partition))
        return openSourceSession({ kafka, id, transactionalId: `${groupId}.${partition}`, topic: stream.rawTopic, now })
      },
      decode: createForeignDecoder(ingest.format, source, options),
      report,
      onLed: led,
      onLost: (records) => options.onLost(pulled.label, stream.contract.name, records),
      now,
      random,
    })
  }

  function redisStreamTask({ stream, report, pulled }: SourceStart, ingest: IngestRedisStream): SourceTask {
    const connect = connector(stream, ingest.source)
    const onLost = (entries: number): void => options.onLost(pulled.label, stream.contract.name, entries)
    return (session, signal) => runRedisStream({ ingest, stream, connect, report, onLost, now }, session, signal)
  }

  function redisKeyspaceTask({ stream, report }: SourceStart, ingest: IngestRedisKeyspace): SourceTask {
    const connect = connector(stream, ingest.source)
    const { database } = sourceOf(stream.sources, ingest.source) as RedisSource
    return (session, signal) => runRedisKeyspace({ ingest, database, stream, connect, report, now }, session, signal)
  }

  function mongoTask({ stream, report }: SourceStart, { source: name, table: collection }: IngestCdc): SourceTask {
    const source = sourceOf(stream.sources, name) as MongodbSource
    const connect = () => connectMongo(source, collection, options.readSecret)
    return (session, signal) => runMongo({ source, collection, stream, connect, report, now }, session, signal)
  }

  function connector(stream: IngestStream, name: string): () => Promise<RedisConnection> {
    const source = sourceOf(stream.sources, name) as RedisSource
    return () => connectRedis(source, options.readSecret)
  }

  async function specOf(source: HttpSource, { kind: _kind, source: _name, ...rule }: IngestPoll): Promise<PollSpec> {
    const address = source.url.startsWith('env:') ? await options.readSecret(source.url) : source.url
    if (address === null)
      throw new MeshError('MESH_SECRET_MISSING', `${source.url} holds nothing`, { place: source.name })
    if (URL.parse(address) === null) {
      throw new MeshError('MESH_HTTP_TARGET_REFUSED', 'the address of the source is no URL', { place: source.name })
    }
    const headers = Object.fromEntries(
      Object.entries(source.headers).map(([name, value]) => [name.toLowerCase(), value]),
    )
    const secretParameter = source.auth?.type === 'query' ? source.auth.name : null
    return { ...rule, address: address.replace(/\/+$/, ''), headers, secretParameter }
  }
}

function sourceOf(sources: Readonly<Record<string, Source>>, name: string): Source {
  const source = sources[name]
  if (!source) throw new MeshError('MESH_BUNDLE_INVALID', `the bundle does not hold the source ${name}`)
  return source
}
