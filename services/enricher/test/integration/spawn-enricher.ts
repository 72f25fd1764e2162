import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inject } from 'vitest'
import { type ServiceProcess, spawnService } from '../../../../tests/setup/spawn-service.ts'

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.ts')

/** The service as its own process with small steps, over the test's broker and registry; its lake and state lie under `dir`. */
export function spawnEnricher(dir: string): ServiceProcess {
  return spawnService(MAIN, {
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
  })
}
