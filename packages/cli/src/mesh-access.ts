import { fileURLToPath } from 'node:url'
import type { StreamsResponse } from '@mesh/shared/core/replay-api'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { lakeLocation, openObjectStore } from '@mesh/shared/lake/open-object-store'
import { LAKE_CONFIG, loadConfig } from '@mesh/shared/runtime/config'
import type { GatewayAddress } from './gateway-client.ts'
import { callJson } from './http-json.ts'
import type { StackAddresses } from './stack/environment.ts'
import type { Environment } from './stack/process.ts'
import { firstApiKey } from './stack/secrets.ts'

/** What a command needs to reach a running mesh. Connections are opened when first asked for. */
export type MeshAccess = {
  readonly addresses: StackAddresses
  readonly gateway: GatewayAddress
  readonly replayerUrl: string
  readonly warehouseFile: string
  readonly goldFile: string
  readonly jobTriggerUrl: string
  readonly store: ObjectStore
  kafka(): KafkaPort
  streams(): Promise<readonly StreamVersions[]>
  close(): Promise<void>
}

/** @param env the environment completed with local secrets: the API key comes from it. */
export function accessMesh(addresses: StackAddresses, env: Environment): MeshAccess {
  let kafka: KafkaPort | null = null
  const urlOf = (service: string): string => addresses.services[service] ?? ''
  return {
    addresses,
    gateway: { url: urlOf('ingest-gateway'), apiKey: firstApiKey(env) },
    replayerUrl: urlOf('replayer'),
    jobTriggerUrl: urlOf('job-trigger'),
    warehouseFile: fileURLToPath(addresses.warehouseUrl.replace(/^duckdb:/, 'file:')),
    goldFile: fileURLToPath(addresses.goldUrl.replace(/^duckdb:/, 'file:')),
    store: openObjectStore(
      lakeLocation(loadConfig(LAKE_CONFIG, { ...env, MESH_LAKE_URL: addresses.lakeUrl }, 'MESH_CLI_')),
    ),
    kafka() {
      kafka ??= connectKafka({ brokers: addresses.kafkaBrokers.split(','), clientId: 'mesh-cli' })
      return kafka
    },
    streams: async () => (await callJson<StreamsResponse>(`${urlOf('replayer')}/v1/streams`)).streams,
    async close() {
      await kafka?.close()
    },
  }
}
