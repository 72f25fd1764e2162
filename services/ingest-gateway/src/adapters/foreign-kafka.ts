import type { KafkaSource } from '@mesh/shared/core/source'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { ReadSecret } from '../core/ports.ts'
import { createSourceText, readTlsTexts } from './source-text.ts'

/** The foreign cluster of a source. Connections are made when first needed. @throws MeshError MESH_SECRET_MISSING */
export async function connectForeign(source: KafkaSource, readSecret: ReadSecret): Promise<KafkaPort> {
  const text = createSourceText(source.name, readSecret)
  const { sasl } = source
  const brokers = (await text(source.brokers)).split(',').map((broker) => broker.trim())
  return connectKafka({
    brokers,
    clientId: 'mesh-ingest-gateway-source',
    tls: source.tls && (await readTlsTexts(source, text)),
    ...(sasl === null
      ? {}
      : { sasl: { mechanism: sasl.mechanism, username: await text(sasl.user), password: await text(sasl.password) } }),
  })
}
