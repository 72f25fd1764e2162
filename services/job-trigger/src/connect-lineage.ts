import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import { followVersions, type VersionsView } from '@mesh/shared/kafka/versions'
import { lakeLocation, openObjectStore } from '@mesh/shared/lake/open-object-store'
import type { Service } from '@mesh/shared/runtime/service'
import { readDbtArtefacts } from './adapters/dbt-artefacts.ts'
import { createLineageReceiver } from './adapters/lineage-receiver.ts'
import { createShapeStore } from './adapters/shape-store.ts'
import { SYSTEM_CLOCK } from './adapters/system-clock.ts'
import { type Config, lineageUrl } from './config.ts'
import { placesOf } from './core/lineage-datasets.ts'
import { createLineage } from './lineage.ts'
import type { LineageTelemetry } from './telemetry.ts'

export type LineageParts = {
  readonly kafka: KafkaPort
  readonly producer: Producer
  readonly telemetry: LineageTelemetry
}

/** Lineage as the settings say it. @throws MeshError MESH_CONFIG_INVALID */
export function connectLineage(config: Config, { kafka, producer, telemetry }: LineageParts): Service {
  const url = lineageUrl(config.lineageUrl)
  let versions: VersionsView | null = null
  const lineage = createLineage({
    kafka,
    producer,
    sources: {
      places: placesOf(config),
      namespace: config.lineageNamespace,
      versions: () => versions?.current() ?? new Map(),
      shapeOf: shapeReader(config),
      artefactsOf: readDbtArtefacts,
      withoutColumns: (error) => telemetry.withoutColumns(error),
    },
    receiver: url === null ? null : createLineageReceiver(url, config.lineageApiKey),
    clock: SYSTEM_CLOCK,
    jitter: Math.random,
    telemetry,
  })
  return {
    async start() {
      versions = await followVersions(
        kafka,
        () => {},
        (error) => telemetry.lineageFailed(error),
      )
      await lineage.start()
    },
    async stop() {
      await lineage.stop()
      await versions?.stop()
      await producer.close()
    },
  }
}

function shapeReader(config: Config): ReturnType<typeof createShapeStore> {
  const { lakeUrl } = config
  if (lakeUrl === null) return async () => null
  return createShapeStore(openObjectStore(lakeLocation({ ...config, lakeUrl })))
}
