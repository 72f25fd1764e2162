import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { openObjectStore } from '@mesh/shared/lake/open-object-store'
import pg from 'pg'
import { callJson } from '../../packages/cli/src/http-json.ts'
import { postgresServer } from '../../packages/cli/src/stack/postgres.ts'
import { firstApiKey, withLocalSecrets } from '../../packages/cli/src/stack/secrets.ts'
import { type Stack, startStack } from '../../packages/cli/src/stack/stack.ts'
import { applyStreams } from '../../packages/cli/src/streams/apply.ts'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import type { SourceReport } from '../../services/ingest-gateway/src/core/sources/source-types.ts'
import type { SourceView } from '../../services/ingest-gateway/src/source-service.ts'
import { openRawLog, type RawLog } from './raw-log.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const ID = { name: 'id', type: 'long' }

/** A mesh with a real PostgreSQL and a real Kafka Connect, each of which may be killed. */
export type CdcWorld = {
  readonly projectDir: string
  readonly stack: Stack
  readonly kafka: KafkaPort
  /** Runs SQL as the owner of the tables, over a connection that outlives a restart of the server. */
  sql: <Row extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<Row[]>
  /** Writes `sources/<name>.yaml`. */
  source: (name: string, lines?: string) => void
  /** Writes a stream of kind cdc and applies it; `more` are further lines of its contract. */
  stream: (name: string, source: string, table: string, more?: string) => Promise<void>
  reports: () => Promise<readonly SourceReport[]>
  /** Waits until the source's report is as wanted. */
  report: (source: string, wanted: (report: SourceReport) => boolean, what: string) => Promise<SourceReport>
  /** An operation of the gateway, with the API key. */
  ask: <T>(method: string, path: string, body?: unknown) => Promise<T>
  versions: (stream: string) => Promise<StreamVersions>
  raw: (stream: string) => Promise<RawLog>
  stop(): Promise<void>
}

/**
 * @param options.services default: only what binds streams and looks after sources.
 * @param options.fields of the refined records, beside `id`; an enricher takes rows that have just these columns.
 */
export async function startCdcWorld(
  options: { services?: readonly string[]; fields?: readonly object[] } = {},
): Promise<CdcWorld> {
  const projectDir = mkdtempSync(join(tmpdir(), 'mesh-cdc-'))
  // PostgreSQL runs as another account when the tests run as root.
  chmodSync(projectDir, 0o711)
  const stateDir = join(projectDir, '.mesh')
  mkdirSync(stateDir)
  const env = withLocalSecrets(stateDir, {
    ...process.env,
    MESH_INGEST_GATEWAY_SOURCE_INTERVAL: '300ms',
  })
  const stack = await startStack({
    stateDir,
    cacheDir: join(ROOT, '.mesh', 'cache'),
    codeDir: ROOT,
    env,
    ports: 'free',
    only: ['kafka', 'registry'],
    services: options.services ?? ['replayer', 'ingest-gateway'],
    extras: [postgresServer(() => ({ DB_PASSWORD: 'correct' }))],
    archives: false,
  })
  const { addresses } = stack
  const kafka = connectKafka({ brokers: addresses.kafkaBrokers.split(','), clientId: 'cdc-test' })
  const store = openObjectStore({ url: addresses.lakeUrl })
  const gatewayUrl = addresses.services['ingest-gateway']!
  const replayerUrl = addresses.services['replayer']!
  const port = stack.ports['postgres']!
  const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', max: 4 })
  pool.on('error', () => undefined)
  const logs: RawLog[] = []

  async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${gatewayUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${firstApiKey(env)}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const answer = (await response.json()) as T & { code?: string; message?: string }
    if (!response.ok) throw new Error(`${method} ${path}: ${answer.code} ${answer.message}`)
    return answer
  }

  const world: CdcWorld = {
    projectDir,
    stack,
    kafka,
    sql: async (text, values = []) => (await pool.query(text, values)).rows,
    source(name, lines = '') {
      mkdirSync(join(projectDir, 'sources'), { recursive: true })
      const given = `name: ${name}\nkind: postgres\nhost: 127.0.0.1\nport: env:MESH_DEMO_POSTGRES_PORT\n`
      const rest = lines || 'database: postgres\nuser: postgres\nheartbeat: 1s\n'
      writeFileSync(join(projectDir, 'sources', `${name}.yaml`), given + rest)
    },
    async stream(name, source, table, more = '') {
      const dir = join(projectDir, 'streams', name)
      mkdirSync(dir, { recursive: true })
      const lines = `name: ${name}\ningest: [{ kind: cdc, source: ${source}, table: ${table} }]\n`
      const refine = more.includes('refine:') ? '' : 'refine: { schema: refined.avsc }\n'
      writeFileSync(join(dir, 'stream.yaml'), `${lines}raw: { partitions: 3 }\n${refine}${more}`)
      const fields = [ID, ...(options.fields ?? [])]
      writeFileSync(join(dir, 'refined.avsc'), JSON.stringify({ type: 'record', name: 'Row', fields }))
      await applyStreams({ projectRoot: projectDir, store, replayerUrl })
    },
    reports: async () => (await callJson<SourceView>(`${gatewayUrl}/v1/sources`)).sources,
    async report(source, wanted, what) {
      let last: SourceReport | undefined
      return waitFor(
        async () => {
          last = (await world.reports().catch(() => [])).find((report) => report.source === source)
          return last && wanted(last) ? last : null
        },
        { what: `source ${source} ${what}`, timeoutMs: 170_000, everyMs: 200, progress: () => JSON.stringify(last) },
      )
    },
    ask,
    versions: (stream) => callJson<StreamVersions>(`${replayerUrl}/v1/streams/${stream}`),
    async raw(stream) {
      const log = await openRawLog(kafka, stream)
      logs.push(log)
      return log
    },
    async stop() {
      for (const log of logs) await log.stop()
      await pool.end()
      await kafka.close()
      await stack.stop()
      rmSync(projectDir, { recursive: true, force: true, maxRetries: 10 })
    },
  }
  return world
}
