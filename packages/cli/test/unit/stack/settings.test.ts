import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { archiveFile, archiveFlags, recordingFlags } from '../../../src/stack/archive.ts'
import { workerProperties } from '../../../src/stack/connect.ts'
import { formatLogDir, serverProperties } from '../../../src/stack/kafka-format.ts'
import { SERVICES, stagesFor } from '../../../src/stack/service.ts'

let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mesh-settings-'))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the broker takes records of 4 MiB, keeps everything and makes no topic by itself', () => {
  const lines = serverProperties({ port: 1, controllerPort: 2, logDir: '/log' }).split('\n')
  const properties = Object.fromEntries(lines.map((line) => line.split(/=(.*)/s)))
  expect(Number(properties['message.max.bytes'])).toBeGreaterThanOrEqual(4_194_304)
  expect(Number(properties['replica.fetch.max.bytes'])).toBeGreaterThanOrEqual(4_194_304)
  expect(properties).toMatchObject({
    'auto.create.topics.enable': 'false',
    'log.retention.ms': '-1',
    'group.initial.rebalance.delay.ms': '0',
    'broker.session.timeout.ms': '3000',
    'offsets.topic.num.partitions': '8',
    listeners: 'PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2',
  })
})

test('a data folder is made once, with ids of its own', () => {
  const template = join(folder, 'kafka')
  formatTemplate(template)
  const [first, second] = [join(folder, 'a', 'log'), join(folder, 'b', 'log')]
  for (const logDir of [first, second]) formatLogDir(template, logDir)
  const meta = metaOf(first)
  expect(meta).toMatch(/^version=1\nnode.id=1\ncluster.id=[\w-]{22}\ndirectory.id=[\w-]{22}\n$/)
  expect(metaOf(second)).not.toBe(meta)
  expect(readFileSync(join(first, 'bootstrap.checkpoint'), 'utf8')).toBe('records')
  formatLogDir(template, first)
  expect(metaOf(first)).toBe(meta)
})

test.for([
  [25, 'aot', '-XX:AOTCache=', '-XX:AOTCacheOutput='],
  [21, 'jsa', '-XX:SharedArchiveFile=', '-XX:ArchiveClassesAtExit='],
] as const)('Java %i starts with an archive only when there is one', ([major, extension, use, record]) => {
  const java = { path: '/java', home: '/', major, version: `${major}.0.1` }
  const file = archiveFile(folder, java)
  expect(file).toBe(join(folder, `startup-${major}.0.1.${extension}`))
  expect(archiveFlags(java, file)).toEqual([])
  writeFileSync(file, '')
  expect(archiveFlags(java, file)[0]).toBe(`${use}${file}`)
  expect(recordingFlags(java, file)).toEqual([`${record}${file}`])
})

test('services start in stages, unknown ones last', () => {
  expect(stagesFor(['toy', 'console', 'enricher', 'replayer'])).toEqual([
    ['replayer'],
    ['enricher'],
    ['console'],
    ['toy'],
  ])
  expect(stagesFor(SERVICES).flat()).toEqual([...SERVICES])
})

function formatTemplate(distribution: string): void {
  const format = join(distribution, 'format')
  mkdirSync(format, { recursive: true })
  writeFileSync(join(format, 'meta.properties'), 'cluster.id=template')
  writeFileSync(join(format, 'bootstrap.checkpoint'), 'records')
}

function metaOf(logDir: string): string {
  return readFileSync(join(logDir, 'meta.properties'), 'utf8')
}

test('the Connect worker writes exactly once, reads secrets by reference, and a training run leaves nothing in Kafka', () => {
  const place = { distribution: '/dist', folder: '/state', port: 8, kafkaBrokers: '127.0.0.1:9' }
  const of = (text: string): Record<string, string> =>
    Object.fromEntries(
      text
        .trim()
        .split('\n')
        .map((line) => line.split(/=(.*)/s)),
    )
  const worker = of(workerProperties(place))
  expect(worker).toMatchObject({
    'exactly.once.source.support': 'enabled',
    'config.storage.replication.factor': '1',
    'plugin.discovery': 'service_load',
    'plugin.path': '/dist/plugins',
    'config.providers': 'env,dir',
    listeners: 'http://127.0.0.1:8',
  })
  const training = of(workerProperties(place, true))
  expect(training['offset.storage.file.filename']).toBe('/state/offsets')
  expect(Object.keys(training).filter((key) => key.includes('storage.topic'))).toEqual([])
})
