import type { ChainLink } from '@mesh/shared/lake/chain'
import type { Logger } from '@mesh/shared/runtime/logger'
import type { Telemetry } from '@mesh/shared/runtime/telemetry'
import type { CutReason } from './core/chain-buffer.ts'

/** Every event of this service, each with its metric and its log line. */
export type LakeSinkTelemetry = {
  flushed(
    link: ChainLink,
    flush: { readonly reason: CutReason; readonly redelivered: number; readonly ms: number },
  ): void
  /** Another writer's object is where this one's should have gone. */
  adopted(link: ChainLink): void
  hole(link: ChainLink): void
  projected(stream: string, epoch: number): void
}

export function createLakeSinkTelemetry({ meter }: Telemetry, logger: Logger, held: () => number): LakeSinkTelemetry {
  const counter = (name: string, description: string) => meter.createCounter(`mesh_lake_sink_${name}`, { description })
  const objects = counter('objects_total', 'Objects created.')
  const rows = counter('rows_total', 'Rows in created objects.')
  const bytes = counter('bytes_total', 'Bytes of created objects.')
  const redelivered = counter('redelivered_total', 'Refined records taken before, counted and not written.')
  const adopted = counter('adopted_total', 'Creates lost to another writer, whose object was taken over.')
  const holes = counter('hole_offsets_total', 'Offsets lost to retention before they were read.')
  const seconds = meter.createHistogram('mesh_lake_sink_flush_seconds', {
    description: 'Time of a flush: building and creating the object.',
  })
  const epoch = meter.createGauge('mesh_lake_sink_pointer_epoch', { description: 'Epoch that the lake pointer shows.' })
  const buffered = meter.createObservableGauge('mesh_lake_sink_buffered_bytes', {
    description: 'Bytes of records held, all partitions together.',
  })
  buffered.addCallback((result) => result.observe(held()))
  const labels = ({ footer }: ChainLink) => ({ layer: footer.layer, stream: footer.stream })
  const fields = (link: ChainLink) => ({
    ...labels(link),
    version: link.footer.version,
    partition: link.footer.partition,
    firstOffset: link.footer.firstOffset,
    nextOffset: link.footer.nextOffset,
  })
  return {
    flushed(link, flush) {
      objects.add(1, { ...labels(link), reason: flush.reason })
      rows.add(link.footer.rows, labels(link))
      bytes.add(link.bytes, labels(link))
      if (flush.redelivered > 0) redelivered.add(flush.redelivered, labels(link))
      seconds.record(flush.ms / 1000, labels(link))
      logger.debug({ ...fields(link), rows: link.footer.rows, ...flush }, 'flushed')
    },
    adopted(link) {
      adopted.add(1, labels(link))
      logger.warn(fields(link), 'another writer holds the partition; going on from its object')
    },
    hole(link) {
      holes.add(link.footer.nextOffset - link.footer.firstOffset, labels(link))
      logger.error(fields(link), 'retention passed the chain; the gap is booked as a hole')
    },
    projected(stream, value) {
      epoch.record(value, { stream })
      logger.info({ stream, epoch: value }, 'lake pointer follows the live version')
    },
  }
}
