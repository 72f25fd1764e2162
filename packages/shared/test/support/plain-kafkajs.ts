import { cpSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type * as KafkaJs from 'kafkajs'

const require = createRequire(import.meta.url)

/**
 * kafkajs as it is published: a copy of the package in a folder of its own, because it loads its modules as they are needed and
 * would take the mesh's corrections from the cache.
 */
const FOLDER = mkdtempSync(join(tmpdir(), 'plain-kafkajs-'))
cpSync(dirname(realpathSync(require.resolve('kafkajs/package.json'))), FOLDER, { recursive: true })
process.on('exit', () => rmSync(FOLDER, { recursive: true, force: true }))

export const plainKafkajs: typeof KafkaJs = plainModule<typeof KafkaJs>('index.js')

/** A module of the copy, by its path inside the package. */
export function plainModule<T>(path: string): T {
  return require(join(FOLDER, path)) as T
}

export function plainClient(brokers: readonly string[], more: Partial<KafkaJs.KafkaConfig> = {}): KafkaJs.Kafka {
  return new plainKafkajs.Kafka({ brokers: [...brokers], logLevel: plainKafkajs.logLevel.NOTHING, ...more })
}
