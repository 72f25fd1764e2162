import { parseInstant } from '@mesh/shared/core/instant'
import type { KafkaRecord } from '@mesh/shared/core/record'
import { recordBytes } from '@mesh/shared/core/record'
import type { ParquetColumn } from '@mesh/shared/lake/parquet-values'
import { columnsOf } from '@mesh/shared/schema/columns'
import type { AvroCodec, RefinedRow, SchemaRegistry } from '@mesh/shared/schema/port'
import { createRowReader } from '@mesh/shared/schema/refined-row'
import { type EntrySource, entryBytes } from '../core/entry.ts'
import { silverColumns, silverRow } from '../core/silver-row.ts'

export type SilverSourceOptions = {
  readonly registry: Pick<SchemaRegistry, 'schemaById'>
  readonly codec: AvroCodec
  readonly version: number
  /** Schema ids of the version's bundles, oldest first. */
  readonly schemaIds: readonly number[]
}

type Reader = {
  readonly columns: readonly ParquetColumn[]
  readonly read: (record: KafkaRecord) => Promise<RefinedRow>
}

const FRAME_BYTES = 5

/**
 * Refined records as typed rows. All are read with the newest schema; an id that no bundle names was registered after this
 * task learnt of them, so it is newer than all and its columns are taken over, in a new file.
 */
export async function createSilverSource(options: SilverSourceOptions): Promise<EntrySource> {
  const known = new Set(options.schemaIds)
  let reader = await createReader(options, options.schemaIds.at(-1)!)

  const unknownId = ({ value }: KafkaRecord): number | null => {
    if (value === null || value.byteLength < FRAME_BYTES || value[0] !== 0) return null
    const id = Buffer.from(value.buffer, value.byteOffset, FRAME_BYTES).readInt32BE(1)
    return known.has(id) ? null : id
  }

  return {
    columns: () => reader.columns,
    changes: (record) => unknownId(record) !== null,
    async read(record) {
      const newer = unknownId(record)
      if (newer !== null) {
        reader = await createReader(options, newer)
        known.add(newer)
      }
      const row = await reader.read(record)
      return {
        offset: record.offset,
        bytes: entryBytes(recordBytes(record), reader.columns.length),
        row: silverRow(row),
        hash: row.hash,
        eventTime: parseInstant(row.eventTime)?.epochMs ?? null,
        timestamp: record.timestamp,
        src: row.src,
      }
    },
  }
}

async function createReader({ registry, codec, version }: SilverSourceOptions, schemaId: number): Promise<Reader> {
  const readerAvsc = await registry.schemaById(schemaId)
  return { columns: silverColumns(columnsOf(readerAvsc)), read: createRowReader({ codec, readerAvsc, version }) }
}
