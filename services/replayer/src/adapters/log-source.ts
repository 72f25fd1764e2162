import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { History } from '../core/ports.ts'

/** The raw log as a source of history, for what bronze does not have yet. */
export function createLogSource(
  kafka: Pick<KafkaPort, 'readRanges' | 'admin'>,
): Pick<History, 'readLog' | 'logOffsetsAtTime'> {
  return {
    readLog: (topic, ranges, onBatch) => kafka.readRanges(topic, ranges, onBatch),
    logOffsetsAtTime: (topic, time) => kafka.admin.offsetsAtTime(topic, Math.max(0, Math.trunc(time))),
  }
}
