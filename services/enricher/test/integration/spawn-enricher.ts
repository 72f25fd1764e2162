import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inject, onTestFailed, onTestFinished } from 'vitest'

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.ts')

export type EnricherProcess = { readonly child: ChildProcess; output(): string }

/** The service as its own process with small steps, over the test's broker and registry; its lake and state lie under `dir`. */
export function spawnEnricher(dir: string): EnricherProcess {
  const child = spawn(process.execPath, [MAIN], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      MESH_KAFKA_BROKERS: inject('kafkaBrokers'),
      MESH_REGISTRY_URL: inject('registryUrl'),
      MESH_LAKE_URL: pathToFileURL(join(dir, 'lake')).href,
      MESH_STATE_DIR: join(dir, 'state'),
      MESH_HTTP_PORT: '0',
      MESH_LOG_LEVEL: 'debug',
      MESH_ENRICHER_COMMIT_INTERVAL: '200ms',
      MESH_ENRICHER_TRANSACTION_INTERVAL: '100ms',
      MESH_ENRICHER_MAX_CHUNK_BYTES: '4000',
      MESH_ENRICHER_DEDUPE_SEGMENT_IDS: '32',
    },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (output += String(bytes)))
  onTestFinished(() => void child.kill('SIGKILL'))
  onTestFailed(() => console.error(`process ${child.pid} said:\n${output}`))
  return { child, output: () => output }
}
