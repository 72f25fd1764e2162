import { rawHash } from '@mesh/shared/core/books'
import type { Coordinate } from '@mesh/shared/core/coordinate'
import { parseInstant } from '@mesh/shared/core/instant'
import { headerText, recordBytes } from '@mesh/shared/core/record'
import { BRONZE_COLUMNS, bronzeRow } from '@mesh/shared/lake/bronze'
import { type EntrySource, entryBytes } from './entry.ts'

/** Raw records as they are. Their coordinate is their identity, so none is ever a redelivery. */
export function createBronzeSource({ topicId, partition }: Omit<Coordinate, 'offset'>): EntrySource {
  return {
    columns: () => BRONZE_COLUMNS,
    changes: () => false,
    async read(record) {
      const at = { topicId, partition, offset: record.offset }
      const time = headerText(record.headers, 'ce_time')
      return {
        offset: record.offset,
        bytes: entryBytes(recordBytes(record), BRONZE_COLUMNS.length),
        row: bronzeRow(at, record),
        hash: rawHash(at, record),
        eventTime: (time === null ? null : parseInstant(time)?.epochMs) ?? null,
        timestamp: record.timestamp,
        src: null,
      }
    },
  }
}
