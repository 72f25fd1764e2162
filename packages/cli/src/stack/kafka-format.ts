import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Java } from './java.ts'
import { HOST } from './ports.ts'

/** The broker's own limit for one batch; topics may ask for less. */
const LARGEST_BATCH = 8 * 1024 * 1024
const TEN_YEARS_MIN = 10 * 365 * 24 * 60

export interface BrokerSettings {
  readonly port: number
  readonly controllerPort: number
  readonly logDir: string
}

/** server.properties of a single KRaft node that answers within a second or two and keeps everything. */
export function serverProperties({ port, controllerPort, logDir }: BrokerSettings): string {
  const properties: Record<string, string | number | boolean> = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@${HOST}:${controllerPort}`,
    listeners: `PLAINTEXT://${HOST}:${port},CONTROLLER://${HOST}:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://${HOST}:${port}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': logDir,
    'auto.create.topics.enable': false,
    'num.partitions': 6,
    'default.replication.factor': 1,
    'min.insync.replicas': 1,
    'message.max.bytes': LARGEST_BATCH,
    'replica.fetch.max.bytes': LARGEST_BATCH,
    'log.retention.ms': -1,
    'log.cleaner.dedupe.buffer.size': LARGEST_BATCH,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 8,
    // Group offsets hold the enricher's books: they outlive a stack that is not started for weeks.
    'offsets.retention.minutes': TEN_YEARS_MIN,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 8,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    'controller.quorum.election.timeout.ms': 200,
    'controller.quorum.fetch.timeout.ms': 500,
    // After a kill -9 the next start waits this long for the session of the old incarnation.
    'broker.session.timeout.ms': 3000,
    'broker.heartbeat.interval.ms': 750,
    'num.network.threads': 2,
    'num.io.threads': 4,
  }
  return `${Object.entries(properties)
    .map(([key, value]) => `${key}=${value}`)
    .join('\n')}\n`
}

/** The jars in a fixed order: start-up archives are only valid for the class path they were made with. */
export function kafkaClassPath(distribution: string): string {
  const lib = join(distribution, 'lib')
  return readdirSync(lib)
    .filter((file) => file.endsWith('.jar'))
    .sort()
    .map((file) => join(lib, file))
    .join(':')
}

/** Formats one folder with Kafka's own tool. Later data folders are copies of it, which saves them a JVM. */
export async function prepareFormat(distribution: string, java: Java): Promise<void> {
  const logDir = join(distribution, 'format')
  const file = join(distribution, 'format.properties')
  writeFileSync(file, serverProperties({ port: 19092, controllerPort: 19093, logDir }))
  const tool = ['kafka.tools.StorageTool', 'format', '-t', freshId(), '-c', file]
  await promisify(execFile)(java.path, ['-XX:TieredStopAtLevel=1', '-cp', kafkaClassPath(distribution), ...tool])
}

/** Makes the data folder unless it is there. Ids are the folder's own; the bootstrap records hold none. */
export function formatLogDir(distribution: string, logDir: string): void {
  if (existsSync(join(logDir, 'meta.properties'))) return
  const parent = join(logDir, '..')
  mkdirSync(parent, { recursive: true })
  const temporary = mkdtempSync(join(parent, '.format-'))
  cpSync(join(distribution, 'format'), temporary, { recursive: true })
  const ids = `version=1\nnode.id=1\ncluster.id=${freshId()}\ndirectory.id=${freshId()}\n`
  writeFileSync(join(temporary, 'meta.properties'), ids)
  rmSync(logDir, { recursive: true, force: true })
  renameSync(temporary, logDir)
}

/** As Kafka writes ids: 16 random bytes in URL-safe base64 (it refuses a leading '-'). */
function freshId(): string {
  const id = randomBytes(16).toString('base64url')
  return id.startsWith('-') ? freshId() : id
}
